using Byre.Blockdev;
using Byre.Filters;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;
using Xunit;

namespace Byre.Tests.Blockdev;

public sealed class ImageOpenerTests : IDisposable
{
    private static readonly byte[] Qcow2Magic = [(byte)'Q', (byte)'F', (byte)'I', 0xfb, 0, 0, 0, 3];

    private readonly string directory = Directory.CreateTempSubdirectory("byre-open").FullName;
    private readonly List<string> warnings = [];

    public void Dispose() => Directory.Delete(directory, true);

    [Fact]
    public async Task A_raw_image_without_a_format_is_probed_warned_of_and_guarded()
    {
        var path = Make("a.raw", 4096);
        await using var image = await OpenAsync(new OpenOptions { FileName = path });
        Assert.Equal("raw", image.FormatName);
        Assert.True(image.FormatWasProbed);
        Assert.Contains(path, Assert.Single(warnings));
        var e = await Assert.ThrowsAsync<BlockException>(() => image.Edge.WriteAsync(0, Qcow2Magic).AsTask());
        Assert.Equal(ErrorCode.NotPermitted, e.Code);
    }

    [Fact]
    public async Task A_named_format_is_neither_warned_of_nor_guarded()
    {
        await using var image = await OpenAsync(new OpenOptions { FileName = Make("a.raw", 4096), Format = "raw" });
        await image.Edge.WriteAsync(0, Qcow2Magic);
        Assert.False(image.FormatWasProbed);
        Assert.Empty(warnings);
    }

    [Fact]
    public async Task A_probed_image_that_is_only_read_is_not_warned_of()
    {
        await using var image = await OpenAsync(new OpenOptions { FileName = Make("a.raw", 512), ReadOnly = true });
        Assert.Empty(warnings);
        Assert.True(image.IsReadOnly);
    }

    [Fact]
    public async Task Json_and_options_lead_to_the_same_image_and_options_go_before_json()
    {
        var path = Make("a.raw", 4096, 7);
        await using var image = await OpenAsync(new OpenOptions
        {
            FileName = $"json:{{'driver':'raw','offset':512,'size':512,'file':{{'driver':'file','filename':'{path}'}}}}",
            Options = Options("size=1k,node-name=top,file.node-name=bottom"),
        });
        Assert.Equal(1024, image.Edge.Length);
        Assert.Equal("top", image.Node.Name);
        Assert.Equal("bottom", image.Node.PrimaryChild!.Node.Name);
        Assert.False(image.FormatWasProbed);
    }

    [Fact]
    public async Task A_node_that_exists_can_be_named()
    {
        await using var file = await OpenAsync(new OpenOptions { Options = Options($"driver=file,filename={Make("a", 1024)},node-name=f") });
        await using var image = await OpenAsync(new OpenOptions { Options = Options("driver=raw,file=f,offset=512"), Graph = file.Graph });
        Assert.Equal(512, image.Edge.Length);
        Assert.Same(file.Node, image.Node.PrimaryChild!.Node);
    }

    [Fact]
    public async Task Blkdebug_stands_between_by_its_file_name_and_by_options()
    {
        var path = Make("a", 1024);
        await using (var byName = await OpenAsync(new OpenOptions { FileName = $"blkdebug::{path}", Format = "raw" }))
        {
            Assert.IsType<BlkdebugNode>(byName.Node.PrimaryChild!.Node);
        }

        await using var byOptions = await OpenAsync(new OpenOptions
        {
            Options = Options($"driver=raw,file.driver=blkdebug,file.image.filename={path},file.inject-error.0.event=read_aio,file.inject-error.0.errno=28"),
        });
        var e = await Assert.ThrowsAsync<BlockException>(() => byOptions.Edge.ReadAsync(0, new byte[512]).AsTask());
        Assert.Equal(ErrorCode.NoSpace, e.Code);
    }

    [Fact]
    public async Task Blkverify_takes_its_two_names()
    {
        await using var image = await OpenAsync(new OpenOptions { FileName = $"blkverify:{Make("a", 512)}:{Make("b", 512)}", Format = "raw" });
        Assert.IsType<BlkverifyNode>(image.Node.PrimaryChild!.Node);
    }

    [Theory]
    [InlineData("driver=nosuch", "Unknown driver 'nosuch'")]
    [InlineData("driver=raw", "\"file\"")]
    [InlineData("filename=x", "Neither a driver nor a file")]
    [InlineData("driver=raw,file.filename=FILE,foo=1", "no option 'foo'")]
    [InlineData("driver=raw,file.filename=FILE,file.foo=1", "no option 'foo'")]
    [InlineData("driver=raw,file.filename=FILE,read-only=maybe", "'maybe' is not a value for read-only")]
    [InlineData("driver=raw,file.filename=FILE,size=abc", "'abc' is not a size for size")]
    [InlineData("driver=raw,file.filename=FILE,file.locking=x", "'x' is not a value for locking")]
    [InlineData("driver=raw,file.filename=FILE,detect-zeroes=unmap,discard=ignore", "detect-zeroes=unmap needs")]
    [InlineData("driver=raw,file.filename=FILE,force-share=on", "force-share")]
    [InlineData("driver=raw,file=nobody", "no node 'nobody'")]
    [InlineData("driver=raw,file=nobody,file.filename=FILE", "both")]
    [InlineData("driver=host_device,filename=FILE", "needs a device")]
    [InlineData("driver=file,filename=FILE,aio=native", "cache.direct")]
    [InlineData("driver=null-co,filename=x", "null-co://")]
    [InlineData("driver=raw,file.filename=FILE.missing", "No such file")]
    public async Task Bad_options_are_refused_in_one_line(string list, string expected)
    {
        var path = Make("a", 512);
        var e = await Assert.ThrowsAsync<BlockException>(() => OpenAsync(new OpenOptions { Options = Options(list.Replace("FILE", path, StringComparison.Ordinal)) }).AsTask());
        Assert.Contains(expected, e.Message);
        Assert.DoesNotContain('\n', e.Message);
    }

    [Theory]
    [InlineData("foo:bar", "Unknown protocol 'foo'")]
    [InlineData("json:{", "JSON")]
    [InlineData("blkdebug:x", "blkdebug")]
    public async Task Bad_names_are_refused(string name, string expected)
    {
        var e = await Assert.ThrowsAsync<BlockException>(() => OpenAsync(new OpenOptions { FileName = name }).AsTask());
        Assert.Contains(expected, e.Message);
    }

    [Fact]
    public async Task A_failed_opening_leaves_no_lock_behind()
    {
        var path = Make("a", 512);
        await Assert.ThrowsAsync<BlockException>(() => OpenAsync(new OpenOptions { FileName = path, Format = "raw", Options = Options("foo=1") }).AsTask());
        await using var image = await OpenAsync(new OpenOptions { FileName = path, Format = "raw" }, DefaultPermissions.Writer);
        await image.Edge.WriteAsync(0, new byte[512]);
    }

    [Fact]
    public async Task Zeroes_that_are_written_are_found_where_that_is_asked_for()
    {
        var path = Make("a", 1 << 20, 1);
        await using (var image = await OpenAsync(new OpenOptions { FileName = path, Format = "raw", DetectZeroes = "unmap" }))
        {
            await image.Edge.WriteAsync(0, new byte[1 << 20]);
            var extents = new ExtentList();
            extents.Reset(0, 1 << 20);
            await image.Edge.GetExtentsAsync(extents, ExtentPrecision.Exact);
            Assert.All(extents.Items.ToArray(), e => Assert.Equal(ExtentState.Zero, e.State));
        }

        Assert.All(await File.ReadAllBytesAsync(path), b => Assert.Equal(0, b));
    }

    [Fact]
    public async Task Discards_do_nothing_where_they_are_ignored()
    {
        var path = Make("a", 1 << 16, 1);
        await using (var image = await OpenAsync(new OpenOptions { FileName = path, Format = "raw", DiscardUnmap = false }))
        {
            await image.Edge.DiscardAsync(0, 1 << 16);
        }

        Assert.All(await File.ReadAllBytesAsync(path), b => Assert.Equal(1, b));
    }

    [Fact]
    public async Task Null_disks_take_their_size()
    {
        await using var image = await OpenAsync(new OpenOptions { Options = Options("driver=null-co,size=3M,read-zeroes=on") });
        Assert.IsType<NullNode>(image.Node);
        Assert.Equal(3 << 20, image.Edge.Length);
    }

    private static Dictionary<string, string> Options(string list)
    {
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        OptionTree.AddList(options, list);
        return options;
    }

    private string Make(string name, int length, byte content = 0)
    {
        var path = Path.Combine(directory, name);
        var bytes = new byte[length];
        Array.Fill(bytes, content);
        File.WriteAllBytes(path, bytes);
        return path;
    }

    private ValueTask<OpenImage> OpenAsync(OpenOptions options, PermissionSet? permissions = null) =>
        ImageOpener.OpenAsync(options with { Warn = warnings.Add }, permissions ?? DefaultPermissions.ForUser(write: true));
}
