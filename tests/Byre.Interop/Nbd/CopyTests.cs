namespace Byre.Interop.Nbd;

/// <summary>nbdcopy reads an export with its holes and writes one; nbdfuse mounts one as a file.</summary>
public sealed class CopyTests : IDisposable
{
    private readonly NbdComparison comparison = new();

    public void Dispose() => comparison.Dispose();

    [Theory]
    [InlineData("raw")]
    [InlineData("raw-tail")]
    [InlineData("raw-read-only")]
    [InlineData("chain")]
    [InlineData("extended-l2")]
    [InlineData("zstd")]
    [InlineData("luks")]
    [InlineData("snapshot")]
    [InlineData("external-data")]
    [InlineData("bitmap-of-backing")]
    public Task Nbdcopy_reads_the_same_with_the_same_holes(string image) => comparison.SameAsync(
        image,
        """
        copied() { echo "$* = $?"; sha256sum <copy.raw; qemu-img map -f raw --output=json copy.raw; rm copy.raw; }
        nbdcopy "$uri" copy.raw; copied
        nbdcopy --synchronous "$uri" copy.raw; copied synchronous
        nbdcopy -C 4 -R 16 --request-size=65536 "$uri" copy.raw; copied 4 connections
        nbdcopy --no-extents -S 0 "$uri" copy.raw; copied all
        nbdcopy "$uri" - | sha256sum
        nbdcopy --flush -C 2 "$uri" null:; echo "= $?"
        """);

    [Theory]
    [InlineData("raw")]
    [InlineData("raw-read-only")]
    [InlineData("chain")]
    [InlineData("extended-l2")]
    [InlineData("luks")]
    [InlineData("external-data")]
    public Task Nbdcopy_writes_the_same(string image) => comparison.SameAsync(
        image,
        """
        size=$(nbdinfo --size "$uri")
        truncate -s $size disk.raw; qemu-io -f raw -c 'write -P 5 128k 256k' -c 'write -P 6 1M 1M' -c 'write -P 0 1152k 256k' disk.raw >/dev/null
        nbdcopy disk.raw "$uri" 2>/dev/null; echo "= $?"; nbdcopy "$uri" back.raw; cmp -s back.raw disk.raw; echo "= $?"; nbdinfo --map "$uri"
        nbdcopy --allocated --flush -C 1 disk.raw "$uri" 2>/dev/null; echo "= $?"; nbdcopy "$uri" back.raw; cmp -s back.raw disk.raw; nbdinfo --map "$uri"
        qemu-io -f raw -c 'write -P 7 384k 128k' disk.raw >/dev/null
        nbdcopy disk.raw "$uri" -C 4 -S 4096 --request-size=131072 2>/dev/null; echo "= $?"; nbdcopy "$uri" back.raw; cmp -s back.raw disk.raw; nbdinfo --map "$uri"
        nbdcopy -- [ nbdkit --exit-with-parent memory 512 ] "$uri"; echo "= $?"
        truncate -s +1M disk.raw; nbdcopy disk.raw "$uri" 2>/dev/null; echo "too large = $?"
        """,
        """qemu-img convert $local -O raw copy.raw && sha256sum copy.raw""");

    [FuseTheory]
    [InlineData("raw")]
    [InlineData("chain")]
    [InlineData("snapshot")]
    public Task Nbdfuse_mounts_the_same(string image) => comparison.SameAsync(
        image,
        """
        mkdir m
        timeout -s INT 50 nbdfuse -P pid m "$uri" & mounted=$!
        for ((i = 0; i < 1000; i++)); do [ -e pid ] && break; sleep 0.02; done
        stat -c '%s %F %A' m/nbd; sha256sum m/nbd; dd if=m/nbd bs=1 skip=65530 count=20 status=none | od -c
        printf 'written through a mount' | dd of=m/nbd bs=1 seek=200000 conv=notrunc,fsync status=none 2>/dev/null; echo "= $?"
        dd if=/dev/zero of=m/nbd bs=64k seek=3 count=3 conv=notrunc status=none 2>/dev/null; echo "= $?"
        fallocate -p -o 1048576 -l 131072 m/nbd 2>/dev/null; echo "= $?"; sync -f m/nbd; sha256sum m/nbd
        umount m; wait $mounted; echo "unmounted"
        nbdcopy "$uri" - | sha256sum
        """);
}
