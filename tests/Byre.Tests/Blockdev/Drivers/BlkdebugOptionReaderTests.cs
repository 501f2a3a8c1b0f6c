using Byre.Blockdev.Drivers;
using Byre.Filters;
using Byre.Nodes;

namespace Byre.Tests.Blockdev.Drivers;

public sealed class BlkdebugOptionReaderTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-blkdebug").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public void Options_become_rules_in_the_order_of_their_numbers()
    {
        var options = Read(
            ("driver", "blkdebug"), ("image.filename", "x"), ("inject-error.10.event", "l2_update"), ("inject-error.10.errno", "28"),
            ("inject-error.2.event", "read_aio"), ("inject-error.2.iotype", "write-zeroes"), ("inject-error.2.once", "on"),
            ("inject-error.2.sector", "0x10"), ("inject-error.2.state", "3"), ("inject-error.2.immediately", "yes"),
            ("set-state.0.event", "flush_to_disk"), ("set-state.0.state", "1"), ("set-state.0.new_state", "2"),
            ("align", "512"), ("max-transfer", "1048576"), ("opt-write-zero", "4096"), ("max-write-zero", "8192"), ("opt-discard", "4096"),
            ("max-discard", "8192"), ("take-child-perms.0", "write"), ("take-child-perms.1", "resize"), ("unshare-child-perms.0", "consistent-read"));
        Assert.Equal(
            [
                new BlkdebugErrorRule
                {
                    Event = BlkdebugEvent.ReadAio, IoTypes = BlkdebugIoTypes.WriteZeroes, Once = true, Sector = 16, State = 3, Immediately = true,
                },
                new BlkdebugErrorRule { Event = BlkdebugEvent.L2Update, Errno = 28 },
            ],
            options.Errors);
        Assert.Equal([new BlkdebugStateRule { Event = BlkdebugEvent.FlushToDisk, State = 1, NewState = 2 }], options.States);
        Assert.Equal((512, 1_048_576, 4096, 8192), (options.Align, options.MaxTransfer, options.OptimalWriteZeroes, options.MaxWriteZeroes));
        Assert.Equal((4096, 8192), (options.OptimalDiscard, options.MaxDiscard));
        Assert.Equal(Permissions.Write | Permissions.Resize, options.TakeChildPermissions);
        Assert.Equal(Permissions.ConsistentRead, options.UnshareChildPermissions);
    }

    [Theory]
    [InlineData("no-such-option", "1")]
    [InlineData("inject-error.x.event", "none")]
    [InlineData("inject-error.0.event", "no_such_event")]
    [InlineData("inject-error.0.errno", "5")]
    [InlineData("inject-error.0.no-such-key", "5")]
    [InlineData("align", "-512")]
    [InlineData("align", "many")]
    [InlineData("take-child-perms.0", "everything")]
    public void What_cannot_be_read_is_refused(string key, string value)
    {
        var e = Assert.Throws<BlockException>(() => Read((key, value)));
        Assert.Equal(ErrorCode.Invalid, e.Code);
    }

    [Theory]
    [InlineData("errno", "5000")]
    [InlineData("sector", "-2")]
    [InlineData("once", "perhaps")]
    [InlineData("iotype", "writes")]
    [InlineData("state", "0x100000000")]
    public void Values_out_of_their_range_are_refused(string key, string value)
    {
        var e = Assert.Throws<BlockException>(() => Read(("inject-error.0.event", "none"), ("inject-error.0." + key, value)));
        Assert.Contains($"'{value}' is not a value for {key}", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_configuration_file_gives_rules_before_those_of_the_options()
    {
        var path = Path.Combine(directory, "blkdebug.conf");
        File.WriteAllText(path, """
            # a comment

            [inject-error]
            event = "l1_update"
            errno = "28"
            [set-state "a name"]
              event	=	"l1_update"
            state = "1"
            new_state = "2"
            [inject-error "second"]
            event = "none"
            """.Replace("\r", "", StringComparison.Ordinal));
        var options = Read(("config", path), ("inject-error.0.event", "read_aio"));
        Assert.Equal([BlkdebugEvent.L1Update, BlkdebugEvent.None, BlkdebugEvent.ReadAio], options.Errors.Select(e => e.Event));
        Assert.Equal(28, options.Errors[0].Errno);
        Assert.Equal([new BlkdebugStateRule { Event = BlkdebugEvent.L1Update, State = 1, NewState = 2 }], options.States);
    }

    [Theory]
    [InlineData("event = \"none\"", 1)]
    [InlineData("\n[inject-error", 2)]
    [InlineData("[no-such-section]", 1)]
    [InlineData("[inject-error]\nevent", 2)]
    [InlineData("[inject-error]\nevent \"none\"", 2)]
    [InlineData("[inject-error]\n\nevent = none", 3)]
    [InlineData("[inject-error]\nevent = \"none", 2)]
    public void A_line_that_says_nothing_valid_is_named(string text, int line)
    {
        var e = Assert.Throws<BlockException>(() => BlkdebugConfigFile.Parse(text, "my.conf"));
        Assert.Equal(ErrorCode.Invalid, e.Code);
        Assert.Contains($"'my.conf': line {line} ", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_configuration_file_is_named()
    {
        var e = Assert.Throws<BlockException>(() => Read(("config", Path.Combine(directory, "none.conf"))));
        Assert.Equal(ErrorCode.NotFound, e.Code);
        Assert.Contains("none.conf", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("blkdebug:my.conf:disk:1.img", "blkdebug", "my.conf", "disk:1.img")]
    [InlineData("blkdebug::disk.img", "blkdebug", null, "disk.img")]
    [InlineData("disk.img", null, null, null)]
    [InlineData("blkdebugger:x:y", null, null, null)]
    public void File_names_become_options(string name, string? driver, string? config, string? image)
    {
        var options = FilterFileNames.Parse(name);
        Assert.Equal(driver, options?["driver"]);
        Assert.Equal(image, options?["image.filename"]);
        Assert.Equal(config, options?.GetValueOrDefault("config"));
    }

    [Fact]
    public void A_blkverify_name_gives_both_images_and_colons_must_be_there()
    {
        var options = FilterFileNames.Parse("blkverify:raw.img:test.qcow2")!;
        Assert.Equal(("raw", "raw.img", "test.qcow2"), (options["raw.driver"], options["raw.file.filename"], options["test.filename"]));
        Assert.Throws<BlockException>(() => FilterFileNames.Parse("blkverify:raw.img"));
        Assert.Throws<BlockException>(() => FilterFileNames.Parse("blkdebug:disk.img"));
    }

    private static BlkdebugOptions Read(params (string Key, string Value)[] options) =>
        BlkdebugOptionReader.Read(options.ToDictionary(o => o.Key, o => o.Value, StringComparer.Ordinal));
}
