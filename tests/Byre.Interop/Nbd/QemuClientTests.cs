namespace Byre.Interop.Nbd;

/// <summary>
/// QEMU's tools, of the system and of QEMU 10, print of an image that Byre serves what they print when qemu-nbd serves it, and
/// leave the same in it. QEMU 10 asks for extended headers; 7.2 knows structured replies only.
/// </summary>
public sealed class QemuClientTests : IDisposable
{
    /// <summary>Says in $bin each folder of tools in turn; "" is the PATH.</summary>
    private const string ForEachVersion = "for bin in '' ${qemu10:+$qemu10/}; do ";

    private readonly NbdComparison comparison = new();

    /// <summary>One of each kind: each takes its time.</summary>
    public static TheoryData<string> Images =>
        ["raw", "raw-tail", "raw-nothing", "chain", "extended-l2", "zstd", "luks", "snapshot", "huge", "bitmap-of-backing"];

    public static TheoryData<string> WritableImages => ["raw", "raw-tail", "raw-offset", "chain", "extended-l2", "luks", "external-data"];

    public void Dispose() => comparison.Dispose();

    [Theory]
    [MemberData(nameof(Images))]
    public Task Qemu_img_reads_the_same(string image) => comparison.SameAsync(
        image,
        ForEachVersion + """
            ${bin}qemu-img info "$uri"; ${bin}qemu-img info --output=json "$uri"
            ${bin}qemu-img map "$uri" 2>/dev/null; ${bin}qemu-img map --output=json "$uri"
            ${bin}qemu-img map --output=json --image-opts driver=nbd,path=$socket,export=$export,x-dirty-bitmap=qemu:allocation-depth 2>&1 | sed 's/^qemu-img: .*/refused/'
            ${bin}qemu-img measure -O qcow2 "$uri"; ${bin}qemu-img measure -O raw "$uri"
            case $(nbdinfo --size "$uri") in 0|17592186044416) ;; *)
                ${bin}qemu-img convert -O raw "$uri" copy.raw; echo "= $?"; sha256sum copy.raw; qemu-img map --output=json -f raw copy.raw
                ${bin}qemu-img convert -f raw -O qcow2 "$uri" copy.q; echo "= $?"; qemu-img compare copy.q copy.raw; qemu-img map --output=json copy.q
                ${bin}qemu-img compare -f raw -F raw "$uri" copy.raw; echo "= $?"
                ${bin}qemu-img dd -f raw -O raw bs=64k skip=3 count=20 "if=$uri" of=part.raw; echo "= $?"; sha256sum part.raw
                ${bin}qemu-img bench -f raw -c 200 -d 16 -s 4k "$uri" | sed 's/in [0-9.]* s/in no time/'; rm copy.* part.raw
            esac
        done
        """);

    [Theory]
    [InlineData("raw")]
    [InlineData("raw-read-only")]
    [InlineData("empty")]
    [InlineData("bitmaps")]
    [InlineData("bitmap-of-backing")]
    public Task Qemu_nbd_lists_the_same(string image) => comparison.SameAsync(
        image,
        ForEachVersion + "${bin}qemu-nbd -L -k $socket | grep -v -e 'available meta' -e joint; done # two contexts are Byre's own",
        ours: WithoutInitialState);

    [Theory]
    [MemberData(nameof(Images))]
    public Task Qemu_io_reads_and_refuses_the_same(string image) => comparison.SameAsync(
        image,
        ForEachVersion + """
            ${bin}qemu-io -r -f raw -c length -c info -c 'read 0 64k' -c 'read -v 65530 64' -c 'read -v 1234567 40' -c 'read 2M 1M' -c 'alloc 0 1M' \
                -c map -c 'aio_read 100k 300k' -c aio_flush -c 'write 0 512' "$uri" | sed -e 's/ops; .*/ops/'
            ${bin}qemu-io -f raw -c 'read 4M 1k' -c 'read -P 24 5T 64k' "$uri" | sed -e 's/ops; .*/ops/'
        done
        """);

    [Theory]
    [MemberData(nameof(WritableImages))]
    public Task Qemu_io_writes_the_same(string image) => comparison.SameAsync(
        image,
        ForEachVersion + """
            ${bin}qemu-io -d unmap -t writeback -f raw -c 'write -P 101 0 1k' -c 'write -P 102 100k 200k' -c 'write -z 32k 16k' -c 'write -z -u 64k 128k' -c flush \
                -c 'write -f -P 103 300k 3' -c 'write -z -f 128k 64k' -c 'discard 1M 256k' -c 'discard 3000k 65k' -c 'write -z -n 1088k 64k' \
                -c 'aio_write -P 104 1472k 64k' -c 'aio_write -P 105 1600k 64k' -c 'aio_write -z -u 1664k 64k' -c aio_flush \
                -c 'writev -P 106 2M 64k 63k 512 512' -c 'read -P 101 0 1k' -c 'read -P 104 1472k 64k' -c 'write -P 107 3145728 128k' -c 'write -P 1 3968k 128k' "$uri" | sed -e 's/ops; .*/ops/' | sort # requests of several kinds end in any order
            ${bin}qemu-img convert -f raw -O raw "$uri" copy.raw && sha256sum copy.raw
            ${bin}qemu-img map -f raw --output=json "$uri"
        done
        nbdinfo --map "$uri"
        """,
        """
        qemu-img convert $local -O raw copy.raw && sha256sum copy.raw
        case "$local" in *qcow2*) qemu-img check ${local/-f qcow2/} | sed '/allocated\|end offset/d';; esac
        """);

    [Theory]
    [MemberData(nameof(WritableImages))]
    public Task Qemu_img_writes_the_same(string image) => comparison.SameAsync(
        image,
        "size=$(nbdinfo --size \"$uri\"); " + ForEachVersion + """
            head -c 300000 /dev/zero | tr '\0' "x$bin" >disk.raw; truncate -s $size disk.raw
            [ $size -lt 3200000 ] || qemu-io -f raw -c "write -P $((17 + ${#bin})) 1M 1M" disk.raw | grep -v ops
            ${bin}qemu-img convert -n -f raw -O raw disk.raw "$uri"; echo "= $?"
            ${bin}qemu-img compare -f raw -F raw disk.raw "$uri"; echo "= $?"
            ${bin}qemu-img convert -n -W -m 4 -f raw -O raw -S 0 disk.raw "$uri"; echo "= $?"; nbdinfo --map "$uri"
            ${bin}qemu-img compare -s -f raw -F raw disk.raw "$uri"; echo "= $?"
            ${bin}qemu-img bench -f raw -w -c 50 -d 8 -s 4k --pattern=77 --flush-interval=10 "$uri" | sed 's/in [0-9.]* s/in no time/'
            ${bin}qemu-img resize -f raw "$uri" 8M 2>/dev/null; echo "= $?"
            ${bin}qemu-img convert -n -f raw -O raw --target-is-zero disk.raw "$uri"; echo "= $?"
        done
        """,
        "qemu-img convert $local -O raw copy.raw && sha256sum copy.raw");

    /// <summary>QEMU 7.2 asks for 2 GiB at a time, 8,192 times; QEMU 10 for all at once, and the replies have 64 bits.</summary>
    [Cases.Qemu10Theory]
    [InlineData("huge")]
    public async Task QEMU_10_uses_extended_headers(string image)
    {
        var output = await comparison.SameAsync(
            image,
            """
            $qemu10/qemu-nbd -L -k $socket | grep -e transaction -e flags
            $qemu10/qemu-img -T nbd_send_request,file=trace map --output=json "$uri"
            grep 'block status' trace | cut -d, -f1,2
            """);

        Assert.Contains("transaction size: 64-bit", output, StringComparison.Ordinal);
        Assert.Contains("block-status-payload", output, StringComparison.Ordinal);
        Assert.Contains(".from = 0, .len = 17592186044416", output, StringComparison.Ordinal);
    }

    /// <summary>Byre's own -L tells the initial state too; QEMU's does not ask.</summary>
    private static string WithoutInitialState(string output) =>
        string.Join('\n', output.Split('\n').Where(line => !line.Contains("initial state", StringComparison.Ordinal)));
}
