using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>The images that convert reads.</summary>
internal sealed class ConvertSources : IAsyncDisposable
{
    private readonly List<OpenImage> images = [];
    private readonly List<BlockEdge> edges = [];

    private ConvertSources()
    {
    }

    /// <summary>The edges to read from, in their order.</summary>
    public IReadOnlyList<BlockEdge> Edges => edges;

    /// <summary>The length of all together, in bytes.</summary>
    public long Length { get; private set; }

    /// <summary>Opens them. Nobody may change them meanwhile, unless they are shared.</summary>
    /// <exception cref="BlockException">One of them cannot be opened; the message names it.</exception>
    public static async Task<ConvertSources> OpenAsync(ConvertOptions options, CacheMode cache, ImgContext context)
    {
        var result = new ConvertSources();
        var snapshot = options.Snapshot is { } text ? SnapshotSource.Parse(text) : null;
        if (snapshot is not null && options.Sources.Count > 1)
        {
            throw new ImgFailure("A snapshot (-l) is read of one image, and several are named");
        }

        try
        {
            foreach (var name in options.Sources)
            {
                var image = await OpenOneAsync(options, name, cache, context).ConfigureAwait(false);
                result.images.Add(image);
                if (snapshot is not null)
                {
                    await SnapshotSource.ShowAsync(image, snapshot, name).ConfigureAwait(false);
                }

                result.edges.Add(image.Edge);
                if (image.Edge.Length > long.MaxValue - result.Length)
                {
                    throw new ImgFailure("The images are too long to be joined");
                }

                result.Length += image.Edge.Length;
            }

            return result;
        }
        catch
        {
            await result.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Whether a path leads to a file that is read: a source, a backing file, a data file.</summary>
    public async ValueTask<bool> ReadsAsync(string path)
    {
        if (!File.Exists(path))
        {
            return false;
        }

        try
        {
            var node = FileNode.Open(new FileNodeOptions { Path = path, ReadOnly = true, Locking = false });
            var identity = node.Identity;
            await node.DisposeAsync().ConfigureAwait(false);
            return identity is not (0, 0) && edges.Exists(e => Has(e.Node, identity));
        }
        catch (BlockException)
        {
            return false; // who opens it for writing tells why that fails
        }
    }

    private static bool Has(BlockNode node, (ulong Device, ulong Inode) identity) =>
        (node is FileNode file && file.Identity == identity) || node.Children.Any(c => Has(c.Node, identity));

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var image in images)
        {
            await CloseAsync(image).ConfigureAwait(false);
        }

        images.Clear();
        edges.Clear();
    }

    private static async Task CloseAsync(OpenImage opened)
    {
        try
        {
            await opened.DisposeAsync().ConfigureAwait(false);
        }
        catch (BlockException)
        {
            // What was read was read.
        }
    }

    private static ValueTask<OpenImage> OpenOneAsync(ConvertOptions options, string name, CacheMode cache, ImgContext context) =>
        ImgImages.OpenAsync(
            name,
            options.SourceImageOpts,
            ImgImages.ForReading(context, options.SourceFormat, options.ForceShare) with { Cache = cache },
            options.ForceShare ? DefaultPermissions.ForceShare : DefaultPermissions.ForUser(write: false, exclusive: true));
}
