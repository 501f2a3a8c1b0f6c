namespace Byre.Interop.Nbd.Tools;

/// <summary>byre nbddump prints what libnbd's nbddump prints, and ends as it does.</summary>
public class NbdDumpToolTests
{
    [Fact]
    public Task Disks_of_zeroes_of_all_sizes() => ToolComparison.SameAsync("""
        for k in "memory 0" "memory 1" "memory 16" "memory 17" "memory 32" "memory 33" "memory 48" "memory 100" "memory 4096" "memory 65552" \
            "memory 4G" "--no-sr memory 2M" "--oldstyle pattern 200" "pattern 3000" "info address"; do
            for o in "" --color; do same nbddump $o -- [ nbdkit $k ]; done
        done
        """);

    [Fact]
    public Task Repeated_lines_and_limits() => ToolComparison.SameAsync("""
        for d in '"hello, world!" @0x100 "hello, world!" 0x7f 0x80 0xff 0x1f 0x20 0x7e "aZ09_" @0x1000 0 0 0 0x21' '(0x41*48)' '(0x41*50)' \
            '(0x41*40)(0x42*40)' '(0x41*200000) @0x100000 (0x41*16) @0x200000 0x41 (0*100000)' '1 @0x300010 (0*15)' '1 @0x30001f 1 @0x400000 (0*16)'; do
            for o in "" --color "-n 100" "--length=17" "-n 48"; do same nbddump $o -- [ nbdkit data "$d" ]; done
        done
        """);

    [Fact]
    public Task Images() => ToolComparison.SameAsync("""
        qemu-img create -q -f qcow2 base.q 4M; qemu-io -c "w -q -P 65 0 192k" -c "w -q -P 66 3000k 512" base.q
        qemu-img create -q -f qcow2 -b base.q -F qcow2 top.q; qemu-io -c "w -q -P 67 100k 1k" -c "w -q -z 128k 64k" -c "w -q -P 68 4194288 16" top.q
        for i in base.q top.q; do same nbddump -- [ $qemu_nbd -r $i ]; done
        """);

    [Fact]
    public async Task Wrong_words_and_servers_that_fail()
    {
        const string Script = """
            same nbddump; same nbddump foo; same nbddump a b; same nbddump --length=x nbd://localhost:1; same nbddump -n; same nbddump nbd://localhost:1
            same nbddump --what; same nbddump [ true ]; same nbddump --json nbd://localhost:1
            """;
        await ToolComparison.SameAsync(Script);
        Assert.DoesNotContain("not one line", await ToolComparison.OursAsync(Script), StringComparison.Ordinal);
        var failing = await ToolComparison.OursAsync("same nbddump -- [ nbdkit --filter=error pattern 1M error-pread-rate=100% ]");
        Assert.Contains("= 1\n", failing, StringComparison.Ordinal);
    }
}
