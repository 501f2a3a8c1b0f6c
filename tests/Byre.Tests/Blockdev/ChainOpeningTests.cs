using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Tests.Blockdev;

/// <summary>What images name is opened through the gate, relative to the image, and never in a circle.</summary>
public sealed class ChainOpeningTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-chain").FullName;

    public void Dispose() => Directory.Delete(directory, true);

    [Fact]
    public async Task Relative_names_begin_at_the_image_that_names_them()
    {
        Directory.CreateDirectory(At("sub"));
        await File.WriteAllBytesAsync(At("base"), Enumerable.Repeat((byte)9, 1024).ToArray());
        await CreateAsync("sub/mid", "../base", "raw");
        await CreateAsync("top", "sub/mid", "qcow2");
        await using var image = await OpenAsync(At("top"));
        var buffer = new byte[1024];
        await image.Edge.ReadAsync(0, buffer);
        Assert.All(buffer, b => Assert.Equal(9, b));
        Assert.Equal("qcow2", image.FormatName);
        Assert.True(image.FormatWasProbed);
    }

    [Fact]
    public async Task Nothing_is_opened_that_the_gate_does_not_allow()
    {
        await File.WriteAllBytesAsync(At("base"), new byte[512]);
        await CreateAsync("top", "base", "raw");
        var e = await Assert.ThrowsAsync<BlockException>(() => OpenAsync(At("top"), o => o with { Gate = OpenGate.DenyAll }).AsTask());
        Assert.Contains("'base' of '" + At("top") + "' is not opened", e.Message);
        await using var alone = await OpenAsync(At("top"), o => o with { Gate = OpenGate.DenyAll, NoBacking = true });
        await using var overridden = await OpenAsync(At("top"), o => o with
        {
            Gate = OpenGate.DenyAll,
            ReadOnly = true,
            ForceShare = true,
            Options = new Dictionary<string, string> { ["backing.file.filename"] = At("base") },
        });
        Assert.Equal(2, overridden.Node.Children.Count);
    }

    [Fact]
    public async Task A_missing_file_and_a_circle_are_told_in_one_line_with_both_files()
    {
        await CreateAsync("a", "b", "qcow2", isUnsafe: true);
        var missing = await Assert.ThrowsAsync<BlockException>(() => OpenAsync(At("a")).AsTask());
        Assert.Equal(
            $"Could not open the backing file 'b' of '{At("a")}': Could not open '{At("b")}': No such file or directory", missing.Message);
        await CreateAsync("b", "a", "qcow2", isUnsafe: true);
        var circle = await Assert.ThrowsAsync<BlockException>(() => OpenAsync(At("a")).AsTask());
        Assert.Contains($"backing file 'a' of '{At("b")}'", circle.Message);
        Assert.DoesNotContain('\n', circle.Message);
    }

    [Fact]
    public async Task Json_names_a_backing_file_and_null_takes_it_away()
    {
        await File.WriteAllBytesAsync(At("base"), Enumerable.Repeat((byte)3, 1024).ToArray());
        await CreateAsync("top", $"json:{{\"driver\":\"raw\",\"offset\":512,\"file.filename\":\"{At("base")}\"}}", "raw");
        await using (var image = await OpenAsync(At("top")))
        {
            Assert.Equal(512, image.Edge.Length);
        }

        await using var none = await OpenAsync($"json:{{\"driver\":\"qcow2\",\"backing\":null,\"file\":{{\"driver\":\"file\",\"filename\":\"{At("top")}\"}}}}");
        Assert.Single(none.Node.Children);
    }

    [Fact]
    public async Task A_data_file_is_made_and_found()
    {
        await ImageCreator.CreateAsync(new ImageCreateRequest
        {
            FileName = At("top"), Format = "qcow2", Size = 1 << 20, Options = [new("data_file", At("data")), new("data_file_raw", "on")],
        });
        await using (var image = await OpenAsync(At("top")))
        {
            await image.Edge.WriteAsync(0, Enumerable.Repeat((byte)5, 65536).ToArray());
        }

        Assert.Equal(5, (await File.ReadAllBytesAsync(At("data")))[100]);
    }

    [Theory]
    [InlineData("overlap-check=foo", "overlap-check")]
    [InlineData("overlap-check.template=all,overlap-check.foo=on", "'foo'")]
    [InlineData("l2-cache-size=abc", "l2-cache-size")]
    [InlineData("cache-size=1M,l2-cache-size=2M", "may not be greater")]
    [InlineData("cache-size=1M,l2-cache-size=1k,refcount-cache-size=1k", "only two")]
    [InlineData("l2-cache-entry-size=100", "power of two")]
    [InlineData("data-file.filename=x", "data-file is for images")]
    [InlineData("foo=1", "no option 'foo'")]
    public async Task Bad_qcow2_options_are_refused(string list, string expected)
    {
        await CreateAsync("top", null, null);
        var options = new Dictionary<string, string>();
        OptionTree.AddList(options, list);
        var e = await Assert.ThrowsAsync<BlockException>(() => OpenAsync(At("top"), o => o with { Options = options }).AsTask());
        Assert.Contains(expected, e.Message);
    }

    [Fact]
    public async Task Good_qcow2_options_are_taken()
    {
        await CreateAsync("top", null, null);
        var options = new Dictionary<string, string>();
        OptionTree.AddList(options, "lazy-refcounts=on,overlap-check.template=none,overlap-check.main-header=on,cache-size=2M,pass-discard-other=on,discard-no-unref=on,cache-clean-interval=5");
        await using var image = await OpenAsync(At("top"), o => o with { Options = options });
        await image.Edge.WriteAsync(0, new byte[512]);
    }

    private ValueTask CreateAsync(string name, string? backing, string? format, bool isUnsafe = false) =>
        ImageCreator.CreateAsync(new ImageCreateRequest
        {
            FileName = At(name),
            Format = "qcow2",
            Size = isUnsafe || backing is null ? 1 << 20 : null,
            BackingFile = backing,
            BackingFormat = format,
            Unsafe = isUnsafe,
            Gate = OpenGate.AllowAll,
        });

    private static ValueTask<OpenImage> OpenAsync(string name, Func<OpenOptions, OpenOptions>? change = null)
    {
        var options = new OpenOptions { FileName = name, Gate = OpenGate.AllowAll };
        options = change?.Invoke(options) ?? options;
        return ImageOpener.OpenAsync(options, DefaultPermissions.ForUser(write: !options.ReadOnly));
    }

    private string At(string name) => Path.Combine(directory, name);
}
