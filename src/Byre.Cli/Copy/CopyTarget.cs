using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Copy;

/// <summary>The target of a copy, open.</summary>
internal sealed class CopyTarget : IAsyncDisposable
{
    private const int StandardOutput = 1;

    private readonly HostStream? stream;
    private readonly bool isNewFile;

    private CopyTarget(string title, BlockEdge edge)
    {
        Title = title;
        Edge = edge;
    }

    private CopyTarget(string title, BlockEdge edge, HostStream stream)
        : this(title, edge) => this.stream = stream;

    private CopyTarget(string title, BlockEdge edge, bool isNewFile)
        : this(title, edge) => this.isNewFile = isNewFile;

    /// <summary>What messages call it.</summary>
    public string Title { get; }

    /// <summary>The edge to write to.</summary>
    public BlockEdge Edge { get; }

    /// <summary>It is written from front to back, and cannot be read.</summary>
    public bool IsStream => stream is not null;

    /// <summary>What is written vanishes.</summary>
    public bool IsNull => Edge.Node is NullNode;

    /// <summary>It is known to read as zeroes.</summary>
    public bool IsZero => isNewFile || IsNull;

    /// <summary>Opens a target, once the source is open.</summary>
    /// <exception cref="ImgFailure">It cannot be opened or made, or it is read by the copy: then it is not touched.</exception>
    /// <exception cref="BlockException">As above.</exception>
    /// <exception cref="IOException">The command cannot be started.</exception>
    public static async ValueTask<CopyTarget> OpenAsync(CopyRequest request, CopySource source, ImgContext context, CopyServers servers)
    {
        var end = request.Target;
        switch (end.Kind)
        {
            case CopyEndKind.Null:
                return new CopyTarget(end.Title, await AttachAsync(new NullNode(long.MaxValue)).ConfigureAwait(false));
            case CopyEndKind.Standard:
                var kind = HostStream.KindOf(StandardOutput);
                return kind is HostPathKind.Stream or HostPathKind.Missing
                    ? await OfStreamAsync(() => HostStream.OfDescriptor(StandardOutput, "standard output"), end, request).ConfigureAwait(false)
                    : await OfPathAsync("/dev/stdout", kind, request, source, null).ConfigureAwait(false);
            case CopyEndKind.Path when end.Format is null:
                return HostStream.KindOf(end.Name) is var found && found == HostPathKind.Stream
                    ? await OfStreamAsync(() => HostStream.Open(end.Name, writes: true), end, request).ConfigureAwait(false)
                    : await OfPathAsync(end.Name, found, request, source, context).ConfigureAwait(false);
            default:
                return await OfImageAsync(request, source, context, servers).ConfigureAwait(false);
        }
    }

    /// <summary>Everything is copied: gives a new file the length of what was copied, where it ends in zeroes.</summary>
    /// <param name="length">That length.</param>
    public async ValueTask CompleteAsync(long length)
    {
        if (isNewFile && Edge.Length < length)
        {
            await Edge.ResizeAsync(length).ConfigureAwait(false);
        }
    }

    /// <summary>Closes it.</summary>
    /// <exception cref="BlockException">It cannot be closed properly.</exception>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await Edge.DisposeAsync().ConfigureAwait(false);
        }
        finally
        {
            stream?.Dispose();
        }
    }

    private static async ValueTask<CopyTarget> OfStreamAsync(Func<HostStream> open, CopyEnd end, CopyRequest request)
    {
        if (request.Verify)
        {
            throw new ImgFailure($"--verify: '{end.Title}' is a stream, and cannot be read back");
        }

        var stream = open(); // a named pipe waits for its reader
        return new CopyTarget(end.Title, await AttachAsync(new SequentialNode(end.Title, stream)).ConfigureAwait(false), stream);
    }

    private static async ValueTask<CopyTarget> OfPathAsync(
        string path, HostPathKind kind, CopyRequest request, CopySource source, ImgContext? context)
    {
        await RefuseSourceAsync(path, source).ConfigureAwait(false);
        var options = new FileNodeOptions { Path = path, Cache = CacheOf(request), Blocking = true, WriteBehind = true };
        if (kind == HostPathKind.Device)
        {
            return new CopyTarget(request.Target.Title, await AttachAsync(FileNode.Open(options)).ConfigureAwait(false));
        }

        if (kind == HostPathKind.Missing)
        {
            context?.Targets.AddNew(path);
        }

        FileNode node;
        try
        {
            node = FileNode.Create(options, source.Length ?? 0);
        }
        catch (BlockException)
        {
            context?.Targets.Forget(path); // who failed to make it removed it
            throw;
        }

        if (kind == HostPathKind.File)
        {
            context?.Targets.AddOverwritten(path);
        }

        return new CopyTarget(request.Target.Title, await AttachAsync(node).ConfigureAwait(false), isNewFile: true);
    }

    private static async ValueTask<CopyTarget> OfImageAsync(CopyRequest request, CopySource source, ImgContext context, CopyServers servers)
    {
        var end = request.Target;
        if (end.Kind == CopyEndKind.Path)
        {
            await RefuseSourceAsync(end.Name, source).ConfigureAwait(false);
        }

        var image = end.Kind == CopyEndKind.Command
            ? await servers.OpenAsync(end, OpenAsync).ConfigureAwait(false)
            : await OpenAsync(end.Kind == CopyEndKind.Path ? FileNames.OfPath(end.Name) : end.Name, server: null).ConfigureAwait(false);
        if (image.IsReadOnly)
        {
            await image.DisposeAsync().ConfigureAwait(false);
            throw new ImgFailure($"'{end.Title}' is read-only: it cannot be a destination");
        }

        if (!request.Flush)
        {
            CopyRemote.LeaveUnflushed(image.Node);
        }

        return new CopyTarget(end.Title, image.Edge);

        ValueTask<OpenImage> OpenAsync(string name, string? server) => ImgImages.OpenAsync(
            name,
            end.IsOptions,
            new OpenOptions
            {
                Format = end.Format ?? (end.IsOptions || FileNames.IsJson(name) ? null : CopyRemote.Driver),
                Options = CopyRemote.Options(name, request, end),
                Cache = CacheOf(request),
                Gate = OpenGate.AllowAll,
                Warn = context.Note,
                Objects = context.Objects,
                BlockingIo = true,
                WriteBehind = true,
                ServerTitle = server,
            },
            DefaultPermissions.ForUser(write: true));
    }

    private static async ValueTask RefuseSourceAsync(string path, CopySource source)
    {
        if (await source.ReadsAsync(path).ConfigureAwait(false))
        {
            throw new ImgFailure($"'{path}' is read by this copy: it cannot be its destination too");
        }
    }

    private static CacheMode CacheOf(CopyRequest request) => request.Flush ? CacheMode.Writeback : CacheMode.Unsafe;

    private static ValueTask<BlockEdge> AttachAsync(BlockNode node) =>
        new BlockGraph().AttachAsync(node, ChildRole.None, DefaultPermissions.ForUser(write: true, resize: true));
}
