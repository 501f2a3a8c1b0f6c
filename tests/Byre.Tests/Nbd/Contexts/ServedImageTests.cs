using System.Diagnostics;
using Byre.Blockdev;
using Byre.Graph;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Contexts;

/// <summary>The contexts of image files.</summary>
public sealed class ServedImageTests : IDisposable
{
    private const int Cluster = 64 << 10;

    private readonly string directory = Directory.CreateTempSubdirectory("byre-served").FullName;

    public void Dispose() => Directory.Delete(directory, true);

    /// <summary>base is [A][B][C][-] and top is [-][D][0][-].</summary>
    [Theory]
    [InlineData("raw", true, "base:allocation", "131072:0 131072:3")]
    [InlineData("raw", true, "qemu:allocation-depth", "65536:2 131072:1 65536:2")]
    [InlineData("raw", true, "qemu:joint-allocation", "65536:8 65536:4 65536:7 65536:11")]
    [InlineData("raw", false, "base:allocation", "65536:3 65536:0 131072:3")]
    [InlineData("raw", false, "qemu:allocation-depth", "65536:0 131072:1 65536:0")]
    [InlineData("raw", false, "qemu:joint-allocation", "65536:3 65536:4 65536:7 65536:3")]
    [InlineData("raw", false, "byre:joint", "65536:3 65536:4 65536:7 65536:3")]
    [InlineData("qcow2", true, "base:allocation", "131072:0 131072:3")]
    [InlineData("qcow2", true, "qemu:allocation-depth", "65536:2 131072:1 65536:0")]
    [InlineData("qcow2", true, "qemu:joint-allocation", "65536:8 65536:4 65536:7 65536:3")]
    [InlineData("qcow2", false, "qemu:joint-allocation", "65536:3 65536:4 65536:7 65536:3")]
    public async Task The_chain_of_four_clusters_is_told_in_every_context(string baseFormat, bool withBacking, string context, string expected)
    {
        await MakeAsync("base", baseFormat, 4 * Cluster);
        await MakeAsync("top", "qcow2", 4 * Cluster, "base", baseFormat);
        await using (var image = await OpenAsync("base", baseFormat))
        {
            await image.Edge.WriteAsync(0, Enumerable.Range(0, 3 * Cluster).Select(i => (byte)('A' + (i / Cluster))).ToArray());
        }

        await using (var image = await OpenAsync("top"))
        {
            await image.Edge.WriteAsync(Cluster, Enumerable.Repeat((byte)'D', Cluster).ToArray());
            await image.Edge.WriteZeroesAsync(2 * Cluster, Cluster);
        }

        await using var served = await OpenAsync("top", change: o => o with { ReadOnly = true, NoBacking = !withBacking });
        Assert.Equal(expected, await AskAsync(served, context, 4 * Cluster));
    }

    /// <summary>
    /// Fast zeroes (WriteFlags.NoFallback) of a part of a cluster: the cluster reads as zeroes by what its backing layers say, or the
    /// request is refused and nothing has changed.
    /// </summary>
    [Theory]
    [InlineData("raw", false)]
    [InlineData("qcow2", false)]
    [InlineData("qcow2", true)]
    public async Task Fast_zeroes_of_a_part_succeed_where_the_layers_below_are_zero(string baseFormat, bool hasMiddle)
    {
        await MakeAsync("base", baseFormat, 4 * Cluster);
        await using (var image = await OpenAsync("base", baseFormat))
        {
            await image.Edge.WriteAsync(0, Enumerable.Repeat((byte)'A', Cluster).ToArray());
        }

        await MakeAsync("middle", "qcow2", 3 * Cluster, "base", baseFormat); // ends early: zeroes behind it
        await MakeAsync("top", "qcow2", 4 * Cluster, hasMiddle ? "middle" : "base", hasMiddle ? "qcow2" : baseFormat);
        await using var top = await OpenAsync("top");
        var before = new byte[4 * Cluster];
        await top.Edge.ReadAsync(0, before);
        foreach (var (offset, length) in new[] { (100, 50), (Cluster - 1, 2), (0, 4096) })
        {
            var failure = await Assert.ThrowsAsync<BlockException>(async () => await top.Edge.WriteZeroesAsync(offset, length, WriteFlags.NoFallback));
            Assert.Equal(ErrorCode.NotSupported, failure.Code);
        }

        foreach (var (offset, length) in new[] { (Cluster + 100, 50), ((2 * Cluster) - 5, 10), ((3 * Cluster) + 512, Cluster - 512) })
        {
            await top.Edge.WriteZeroesAsync(offset, length, WriteFlags.NoFallback);
        }

        var after = new byte[4 * Cluster];
        await top.Edge.ReadAsync(0, after);
        Assert.True(after.AsSpan().SequenceEqual(before));
        Assert.Equal($"{Cluster}:2 {3 * Cluster}:1", (await AskAsync(top, "qemu:allocation-depth", 4 * Cluster)).Replace($"{Cluster}:{(hasMiddle ? 3 : 2)} ", $"{Cluster}:2 ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_empty_image_of_16_tib_is_one_extent_at_once()
    {
        const long Size = 16L << 40;
        await MakeAsync("huge", "qcow2", Size);
        await using var image = await OpenAsync("huge", change: o => o with { ReadOnly = true });
        await AskAsync(image, "base:allocation", Size);
        var watch = Stopwatch.StartNew();
        Assert.Equal($"{Size}:3", await AskAsync(image, "base:allocation", Size));
        Assert.Equal($"{Size}:0", await AskAsync(image, "qemu:allocation-depth", Size));
        Assert.Equal($"{Size}:3", await AskAsync(image, "byre:joint", Size));
        Assert.True(watch.Elapsed < TimeSpan.FromSeconds(20), $"{watch.Elapsed}"); // a walk of its clusters would take minutes
        Assert.Equal(NbdInitialState.Sparse | NbdInitialState.Zero, await InitialStateProbe.LookAsync(new ContextSource(image.Edge, [])));
    }

    [Fact]
    public async Task A_backing_file_that_ends_early_decides_what_is_behind_its_end()
    {
        await MakeAsync("base", "qcow2", Cluster);
        await MakeAsync("middle", "qcow2", 2 * Cluster, "base");
        await MakeAsync("top", "qcow2", 4 * Cluster, "middle");
        await using var image = await OpenAsync("top", change: o => o with { ReadOnly = true });
        Assert.Equal($"{Cluster}:0 {Cluster}:3 {2 * Cluster}:2", await AskAsync(image, "qemu:allocation-depth", 4 * Cluster));
        Assert.Equal($"{4 * Cluster}:3", await AskAsync(image, "base:allocation", 4 * Cluster));
    }

    [Fact]
    public async Task Preallocated_clusters_are_zero_and_no_hole_and_zeroed_ones_holes_as_QEMU_tells_them()
    {
        await MakeAsync("image", "qcow2", 4 * Cluster, options: [new("preallocation", "metadata")]);
        await using (var image = await OpenAsync("image"))
        {
            await image.Edge.WriteAsync(0, Enumerable.Repeat((byte)1, 2 * Cluster).ToArray());
            await image.Edge.WriteZeroesAsync(0, Cluster);
        }

        await using var served = await OpenAsync("image", change: o => o with { ReadOnly = true });
        Assert.Equal($"{Cluster}:3 {Cluster}:0 {2 * Cluster}:2", await AskAsync(served, "base:allocation", 4 * Cluster));
    }

    [Fact]
    public async Task The_state_at_the_beginning_is_told_only_where_it_is_known()
    {
        using (var file = File.Create(Path.Combine(directory, "raw")))
        {
            file.SetLength(1 << 20); // made without the block that a new raw image gets
        }

        await using (var image = await OpenAsync("raw", "raw"))
        {
            Assert.Equal(NbdInitialState.Sparse | NbdInitialState.Zero, await StateAsync(image));
            await image.Edge.WriteAsync(512 << 10, new byte[] { 1 });
            Assert.Equal(NbdInitialState.Sparse, await StateAsync(image));
            await image.Edge.WriteAsync(0, Enumerable.Repeat((byte)1, 1 << 20).ToArray());
            Assert.Equal(NbdInitialState.None, await StateAsync(image));
        }

        await MakeAsync("over", "qcow2", 1 << 20, "raw", "raw");
        await using (var image = await OpenAsync("over"))
        {
            Assert.Equal(NbdInitialState.None, await StateAsync(image));
            await image.Edge.WriteZeroesAsync(0, 1 << 20);
            Assert.Equal(NbdInitialState.Sparse | NbdInitialState.Zero, await StateAsync(image));
        }

        await MakeAsync("full", "qcow2", 1 << 20, options: [new("preallocation", "metadata")]);
        await using (var image = await OpenAsync("full"))
        {
            Assert.Equal(NbdInitialState.Zero, await StateAsync(image) & NbdInitialState.Zero);
            await image.Edge.WriteAsync(0, new byte[] { 1 });
            Assert.Equal(NbdInitialState.None, await StateAsync(image) & NbdInitialState.Zero);
        }
    }

    private static ValueTask<NbdInitialState> StateAsync(OpenImage image) => InitialStateProbe.LookAsync(new ContextSource(image.Edge, []));

    private static async Task<string> AskAsync(OpenImage image, string name, long length)
    {
        var reply = new ContextReply(new MetaContextCatalog(true, []).Select([name]).Single());
        var walker = new ContextWalker(new ContextSource(image.Edge, []), isAligned: false, NbdHeaderStyle.Extended);
        await walker.QueryAsync(0, length, ContextWalker.DefaultLimit, one: false, [reply]);
        return string.Join(' ', reply.Items.ToArray().Select(d => $"{d.Length}:{d.Flags}"));
    }

    private ValueTask MakeAsync(
        string name, string format, long size, string? backing = null, string backingFormat = "qcow2", KeyValuePair<string, string?>[]? options = null) =>
        ImageCreator.CreateAsync(new ImageCreateRequest
        {
            FileName = Path.Combine(directory, name),
            Format = format,
            Size = size,
            BackingFile = backing,
            BackingFormat = backing is null ? null : backingFormat,
            Options = options ?? [],
            Gate = OpenGate.AllowAll,
        });

    private ValueTask<OpenImage> OpenAsync(string name, string format = "qcow2", Func<OpenOptions, OpenOptions>? change = null)
    {
        var options = new OpenOptions { FileName = Path.Combine(directory, name), Format = format, Gate = OpenGate.AllowAll };
        options = change?.Invoke(options) ?? options;
        return ImageOpener.OpenAsync(options, DefaultPermissions.ForUser(write: !options.ReadOnly, resize: !options.ReadOnly));
    }
}
