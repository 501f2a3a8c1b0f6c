using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Cli.NbdDump;
using Byre.Cli.NbdInfo;
using Byre.Cli.NbdTools;
using Byre.Nbd;

namespace Byre.Tests.Cli;

public class NbdToolTests
{
    [Theory]
    [InlineData(0, "0.0", "0")]
    [InlineData(100, "100.0", "100")]
    [InlineData(87.5, "87.5", "87.5")]
    [InlineData(6.25, "6.2", "6.25")] // halves go to the even neighbour
    [InlineData(18.75, "18.8", "18.75")]
    [InlineData(0.35, "0.3", "0.35")] // which is a little less
    [InlineData(0.05, "0.1", "0.05")] // which is a little more
    [InlineData(100.0 / 3, "33.3", "33.3333")]
    [InlineData(100.0 / 512, "0.2", "0.195312")]
    [InlineData(300.0 / 512, "0.6", "0.585938")]
    [InlineData(99.99999, "100.0", "100")]
    [InlineData(99.9999, "100.0", "99.9999")]
    [InlineData(0.0001, "0.0", "0.0001")]
    [InlineData(0.00009, "0.0", "9e-05")]
    [InlineData(100.0 / (1 << 20), "0.0", "9.53674e-05")]
    [InlineData(100.0 / (1L << 43), "0.0", "1.13687e-11")]
    [InlineData(9.999999e-5, "0.0", "0.0001")]
    public void Numbers_are_written_as_in_C(double value, string oneDecimal, string sixDigits)
    {
        Assert.Equal(oneDecimal, CNumber.OneDecimal(value));
        Assert.Equal(sixDigits, CNumber.SixDigits(value));
    }

    [Theory]
    [InlineData("qemu:joint-allocation", 3, "hole,zero,unallocated")]
    [InlineData("qemu:joint-allocation", 4, "allocated,local")]
    [InlineData("qemu:joint-allocation", 7, "hole,zero,local")]
    [InlineData("qemu:joint-allocation", 8, "allocated,backing")]
    [InlineData("qemu:joint-allocation", 6, "zero,local")]
    [InlineData("qemu:joint-allocation", 11, "hole,zero,backing")]
    [InlineData("qemu:joint-allocation", 16, null)]
    [InlineData("byre:joint", 3, "hole,zero,unallocated")]
    [InlineData("byre:joint", 4 + 16 + 64, "allocated,local,dirty:mon,dirty:2")]
    [InlineData("byre:joint", 1ul << 31, null)]
    [InlineData("base:allocation", 0, "data")]
    [InlineData("base:allocation", 1, "hole")]
    [InlineData("base:allocation", 2, "zero")]
    [InlineData("base:allocation", 3, "hole,zero")]
    [InlineData("base:allocation", 4, null)]
    [InlineData("qemu:allocation-depth", 0, "absent")]
    [InlineData("qemu:allocation-depth", 1, "local")]
    [InlineData("qemu:allocation-depth", 7, "backing depth 7")]
    [InlineData("qemu:dirty-bitmap:x", 0, "clean")]
    [InlineData("qemu:dirty-bitmap:x", 1, "dirty")]
    [InlineData("qemu:dirty-bitmap:x", 2, null)]
    [InlineData("x-other:thing", 0, null)]
    public void Flags_are_told_in_words(string context, ulong flags, string? expected) =>
        Assert.Equal(expected, new MapWords(context, ["mon", "tue"], new Paint(false)).Of(flags));

    [Theory]
    [InlineData(0, "0")]
    [InlineData(1000, "1000")]
    [InlineData(1024, "1K")]
    [InlineData(1536, "1536")]
    [InlineData(1886208L * 1024, "1842M")]
    [InlineData(5L << 40, "5T")]
    [InlineData(7L << 60, "7E")]
    public void Sizes_are_whole_numbers_of_their_unit(long bytes, string expected) => Assert.Equal(expected, ExportSize.Short(bytes));

    [Theory]
    [InlineData("nbd://localhost", "", "nbd://localhost:10809/")]
    [InlineData("nbd://u@[::1]:99/x", "a b/c", "nbd://u@[::1]:99/a%20b/c")]
    [InlineData("nbd+unix:///?socket=/tmp/s%20%23", "q\"x\\y:", "nbd+unix:///q%22x%5Cy%3A?socket=/tmp/s%20%23")]
    [InlineData("nbds://h/?tls-certificates=/c%26d", "ü", "nbds://h:10809/%C3%BC?tls-certificates=/c%26d")]
    public void A_URI_leads_back_to_its_export(string server, string export, string expected)
    {
        var uri = ExportUri.Of(NbdUri.Parse(server), export);
        Assert.Equal(expected, uri);
        Assert.Equal(export, NbdUri.Parse(uri).ExportName);
        Assert.Equal(NbdUri.Parse(server).Address, NbdUri.Parse(uri).Address);
    }

    [Theory]
    [InlineData("--map|[|qemu-nbd|-r|x|]", "qemu-nbd -r x", true)]
    [InlineData("--map|--|[|a|]", "a", true)]
    [InlineData("nbd://h|--map", null, true)]
    [InlineData("[|--map|]", "--map", false)]
    public void A_commands_options_are_its_own(string words, string? command, bool map)
    {
        var parsed = NbdToolWords.Parse(words.Split('|'), [new ImgSpec("map", '\0', ImgValue.Optional)]);
        Assert.Equal(command, parsed.Command is null ? null : string.Join(' ', parsed.Command));
        Assert.Equal(map, parsed.Options.Has("map"));
    }

    [Theory]
    [InlineData("[|a")]
    [InlineData("[|]")]
    [InlineData("nbd://h|[|a|]")]
    [InlineData("--what")]
    [InlineData("")]
    [InlineData("nbd://h|nbd://i")]
    public void Wrong_words_are_refused(string words) => Assert.Throws<ImgUsageException>(
        () => NbdToolWords.Parse(words.Split('|', StringSplitOptions.RemoveEmptyEntries), [new ImgSpec("map", '\0')]).Target());

    [Fact]
    public void Lines_that_repeat_are_left_out_but_for_the_last()
    {
        using var memory = new MemoryStream();
        using (var output = new IoStdout(memory, isTerminal: false))
        {
            var writer = new DumpWriter(output, new Paint(false), 100);
            Assert.False(writer.RepeatsZeroes);
            writer.Line(new byte[16], 16);
            Assert.True(writer.RepeatsZeroes);
            writer.Repeat(32);
            writer.Line("hello, world!\x7f\0\0"u8, 16);
            Assert.False(writer.RepeatsZeroes);
            writer.Line("hello, world!\x7f\0\0"u8, 16);
            writer.Line("hello, world!\x7f\0\0"u8, 16);
            writer.Line("hell"u8, 4);
            output.Flush();
        }

        Assert.Equal(
            """
            0000000000: 00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00 |................|
            *
            0000000030: 68 65 6c 6c 6f 2c 20 77  6f 72 6c 64 21 7f 00 00 |hello, world!...|
            *
            0000000060: 68 65 6c 6c                                      |hell            |

            """,
            System.Text.Encoding.UTF8.GetString(memory.ToArray()));
    }
}
