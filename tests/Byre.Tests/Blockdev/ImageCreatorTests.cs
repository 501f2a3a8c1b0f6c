using Byre.Blockdev;
using Byre.Nodes;
using Xunit;

namespace Byre.Tests.Blockdev;

public sealed class ImageCreatorTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-create").FullName;

    public void Dispose() => Directory.Delete(directory, true);

    [Theory]
    [InlineData("raw", "", "fmt=raw size=1048576")]
    [InlineData("raw", "extent_size_hint=1M,preallocation=full,nocow=on", "fmt=raw size=1048576 nocow=on preallocation=full extent_size_hint=1048576")]
    [InlineData("qcow2", "", "fmt=qcow2 cluster_size=65536 extended_l2=off compression_type=zlib size=1048576 lazy_refcounts=off refcount_bits=16")]
    [InlineData(
        "qcow2",
        "refcount_bits=1,compat=0.10,cluster_size=4k,preallocation=metadata,data_file=a,,b,data_file_raw=on,nocow=on,extent_size_hint=64k,lazy_refcounts",
        "fmt=qcow2 cluster_size=4096 extended_l2=off preallocation=metadata compression_type=zlib size=1048576 compat=0.10 data_file=a,,b data_file_raw=on lazy_refcounts=on refcount_bits=1 nocow=on extent_size_hint=65536")]
    [InlineData("qcow2", "cluster_size=2k,cluster_size=4k", "fmt=qcow2 cluster_size=4096 extended_l2=off compression_type=zlib size=1048576 lazy_refcounts=off refcount_bits=16")]
    public async Task The_formatting_line_shows_values_in_the_order_of_qemu_img(string format, string options, string expected)
    {
        var plan = await ImageCreator.PlanAsync(new ImageCreateRequest
        {
            FileName = "x", Format = format, Size = 1 << 20, Options = OptionTree.ParseList(options),
        });
        Assert.Equal($"Formatting 'x', {expected}", plan.FormattingLine);
    }

    [Fact]
    public async Task The_size_comes_from_the_backing_file()
    {
        await ImageCreator.CreateAsync(new ImageCreateRequest { FileName = At("base"), Size = 5000 });
        Assert.Equal(5120, new FileInfo(At("base")).Length);
        var plan = await ImageCreator.PlanAsync(new ImageCreateRequest
        {
            FileName = At("top"), Format = "qcow2", BackingFile = "base", BackingFormat = "raw", Options = OptionTree.ParseList("backing_file=other"),
        });
        Assert.Equal(5120, plan.Size);
        Assert.Contains(" size=5120 backing_file=base backing_fmt=raw ", plan.FormattingLine);
    }

    [Theory]
    [InlineData("raw", "foo=1", null, null, "no creation option 'foo'")]
    [InlineData("nosuch", "", null, null, "Unknown file format 'nosuch'")]
    [InlineData("null-co", "", null, null, "cannot be created")]
    [InlineData("raw", "size=1M", null, null, "given twice")]
    [InlineData("raw", "", "base", "raw", "no backing file")]
    [InlineData("qcow2", "cluster_size=abc", null, null, "not a size for cluster_size")]
    [InlineData("qcow2", "lazy_refcounts=2", null, null, "not a value for lazy_refcounts")]
    [InlineData("qcow2", "", "", null, "empty")]
    [InlineData("qcow2", "", "base", null, "without its format (it looks like raw)")]
    [InlineData("qcow2", "", "missing", "raw", "backing file 'missing'")]
    [InlineData("qcow2", "", "base", "nosuch", "Unknown driver 'nosuch'")]
    public async Task Bad_requests_are_refused_in_one_line(string format, string options, string? backing, string? backingFormat, string expected)
    {
        await File.WriteAllBytesAsync(At("base"), new byte[512]);
        var e = await Assert.ThrowsAsync<BlockException>(() => ImageCreator.PlanAsync(new ImageCreateRequest
        {
            FileName = At("x"),
            Format = format,
            Size = 1 << 20,
            Options = OptionTree.ParseList(options),
            BackingFile = backing,
            BackingFormat = backingFormat,
        }).AsTask());
        Assert.Contains(expected, e.Message);
        Assert.DoesNotContain('\n', e.Message);
        Assert.False(File.Exists(At("x")));
    }

    [Fact]
    public async Task An_unsafe_request_does_not_look_at_the_backing_file_and_needs_size_and_format()
    {
        var request = new ImageCreateRequest { FileName = At("x"), Format = "qcow2", BackingFile = "missing", BackingFormat = "vmdk", Unsafe = true };
        var noSize = await Assert.ThrowsAsync<BlockException>(() => ImageCreator.PlanAsync(request).AsTask());
        Assert.Contains("needs a size", noSize.Message);
        Assert.Equal(512, (await ImageCreator.PlanAsync(request with { Size = 512 })).Size);
        await Assert.ThrowsAsync<BlockException>(() => ImageCreator.PlanAsync(request with { Size = 512, BackingFormat = null }).AsTask());
        await Assert.ThrowsAsync<BlockException>(() => ImageCreator.PlanAsync(request with { Size = 512, BackingFormat = "bogus" }).AsTask());
    }

    [Theory]
    [InlineData("preallocation=full")]
    [InlineData("preallocation=falloc,nocow=on")]
    public async Task A_raw_image_can_be_allocated(string options)
    {
        await ImageCreator.CreateAsync(new ImageCreateRequest { FileName = At("x"), Size = 100_000, Options = OptionTree.ParseList(options) });
        Assert.Equal(100_352, new FileInfo(At("x")).Length);
    }

    [Theory]
    [InlineData("preallocation=metadata")]
    [InlineData("preallocation=bogus")]
    public async Task A_refused_image_leaves_no_file(string options)
    {
        await Assert.ThrowsAsync<BlockException>(
            () => ImageCreator.CreateAsync(new ImageCreateRequest { FileName = At("x"), Size = 512, Options = OptionTree.ParseList(options) }).AsTask());
        Assert.False(File.Exists(At("x")));
    }

    [Fact]
    public void The_options_of_a_format_are_described_in_order()
    {
        var names = FormatRegistry.CreateOptionDescriptions("raw")!.Select(o => o.Name);
        Assert.Equal(["extent_size_hint", "nocow", "preallocation", "size"], names);
        Assert.Null(FormatRegistry.CreateOptionDescriptions("nosuch"));
    }

    private string At(string name) => Path.Combine(directory, name);
}
