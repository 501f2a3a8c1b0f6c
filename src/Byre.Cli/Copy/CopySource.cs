using System.Security.Cryptography;
using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Copy;

/// <summary>The source of a copy, open: an image of a known length, or a stream that ends some time.</summary>
internal sealed class CopySource : ISequentialInput, IAsyncDisposable
{
    private const int StandardInput = 0;

    private readonly OpenImage? image;
    private readonly HostStream? stream;
    private readonly IncrementalHash? digest;

    private CopySource(string title, OpenImage? image, HostStream? stream, IncrementalHash? digest)
    {
        Title = title;
        this.image = image;
        this.stream = stream;
        this.digest = digest;
    }

    /// <summary>What messages call it.</summary>
    public string Title { get; }

    /// <summary>The edge to read from; null for a stream, which is read through this object.</summary>
    public BlockEdge? Edge => image?.Edge;

    /// <summary>Its length in bytes; null where only its end tells.</summary>
    public long? Length => image?.Edge.Length;

    /// <summary>Opens a source.</summary>
    /// <exception cref="ImgFailure">It cannot be opened; the message names it.</exception>
    /// <exception cref="BlockException">As above.</exception>
    /// <exception cref="IOException">The command cannot be started.</exception>
    public static async ValueTask<CopySource> OpenAsync(CopyRequest request, ImgContext context, CopyServers servers)
    {
        var end = request.Source;
        switch (end.Kind)
        {
            case CopyEndKind.Null:
                throw new ImgFailure("null: cannot be read: it is a destination only");
            case CopyEndKind.Standard:
                return HostStream.KindOf(StandardInput) is HostPathKind.Stream or HostPathKind.Missing
                    ? OfStream(HostStream.OfDescriptor(StandardInput, "standard input"), end, request)
                    : new CopySource("-", await OpenImageAsync(request, context, "/dev/stdin", "file", false).ConfigureAwait(false), null, null);
            case CopyEndKind.Path when end.Format is null && HostStream.KindOf(end.Name) == HostPathKind.Stream:
                return OfStream(HostStream.Open(end.Name, writes: false), end, request);
            case CopyEndKind.Path:
                var name = FileNames.OfPath(end.Name);
                return new CopySource(end.Title, await OpenImageAsync(request, context, name, end.Format ?? "file", false).ConfigureAwait(false), null, null);
            case CopyEndKind.Command:
                var served = await servers.OpenAsync(
                    end, (uri, title) => OpenImageAsync(request, context, uri, CopyRemote.Driver, false, title)).ConfigureAwait(false);
                return new CopySource(end.Title, served, null, null);
            default:
                return new CopySource(
                    end.Title, await OpenImageAsync(request, context, end.Name, FormatOf(end), end.IsOptions).ConfigureAwait(false), null, null);
        }
    }

    /// <summary>Whether a path leads to a file that is read.</summary>
    public async ValueTask<bool> ReadsAsync(string path)
    {
        if (image is null || HostStream.KindOf(path) is not (HostPathKind.File or HostPathKind.Device))
        {
            return false;
        }

        FileNode node;
        try
        {
            node = FileNode.Open(new FileNodeOptions { Path = path, ReadOnly = true, Locking = false });
        }
        catch (BlockException)
        {
            return false; // who opens it for writing tells why that fails
        }

        var identity = node.Identity;
        await node.DisposeAsync().ConfigureAwait(false);
        return identity is not (0, 0) && Has(image.Node, identity);
    }

    /// <inheritdoc/>
    public async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellation)
    {
        var n = await stream!.ReadAsync(buffer, cancellation).ConfigureAwait(false);
        digest?.AppendData(buffer.Span[..n]);
        return n;
    }

    /// <summary>The digest of all that was read of a stream that is to be verified.</summary>
    public byte[] TakeDigest() => digest!.GetHashAndReset();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        stream?.Dispose();
        digest?.Dispose();
        try
        {
            if (image is not null)
            {
                await image.DisposeAsync().ConfigureAwait(false);
            }
        }
        catch (BlockException)
        {
            // What was read was read.
        }
    }

    private static CopySource OfStream(HostStream stream, CopyEnd end, CopyRequest request) =>
        new(end.Title, null, stream, request.Verify ? IncrementalHash.CreateHash(CopyVerifier.Algorithm) : null);

    private static string? FormatOf(CopyEnd end) => end.Format ?? (end.IsOptions || FileNames.IsJson(end.Name) ? null : CopyRemote.Driver);

    private static ValueTask<OpenImage> OpenImageAsync(CopyRequest request, ImgContext context, string name, string? format, bool isOptions, string? server = null) =>
        ImgImages.OpenAsync(
            name,
            isOptions,
            ImgImages.ForReading(context, format, request.ForceShare) with
            {
                Options = CopyRemote.Options(name, request, request.Source),
                ServerTitle = server,
            },
            ImgImages.Reading(request.ForceShare));

    private static bool Has(BlockNode node, (ulong Device, ulong Inode) identity) =>
        (node is FileNode file && file.Identity == identity) || node.Children.Any(c => Has(c.Node, identity));
}
