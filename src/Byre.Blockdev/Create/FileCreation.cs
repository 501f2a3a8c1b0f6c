using System.Globalization;
using Byre.Graph;
using Byre.Nbd.Client;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Blockdev.Create;

/// <summary>Creates the host files of images, and removes them again where the image fails.</summary>
internal sealed class FileCreation : IAsyncDisposable
{
    private const int Sector = 512;
    private const int FirstBlock = 4096;
    private const long DefaultExtentHint = 1 << 20; // as QEMU: images of many small extents are slow

    private readonly string? path;
    private readonly bool existed;
    private bool kept;

    private FileCreation(string? path, bool existed, BlockEdge edge)
    {
        this.path = path;
        this.existed = existed;
        Edge = edge;
    }

    /// <summary>The new file; it can be written and resized.</summary>
    public BlockEdge Edge { get; }

    /// <summary>The length of a disk in whole sectors.</summary>
    /// <exception cref="BlockException">It is too great.</exception>
    public static long RoundUp(long size) => size > long.MaxValue - Sector
        ? throw new BlockException(ErrorCode.TooLarge, $"The size {size} is too great: at most {long.MaxValue / Sector * Sector} bytes")
        : (size + Sector - 1) / Sector * Sector;

    /// <summary>Creates an empty file, or empties the one that is there; of an NBD export, whose length is fixed, clears what looks like an image.</summary>
    /// <param name="graph">The graph it becomes part of.</param>
    /// <param name="name">A path, or the name of an NBD export.</param>
    /// <param name="plan">Says what the file system is asked for.</param>
    public static async ValueTask<FileCreation> BeginAsync(BlockGraph graph, string name, CreatePlan plan)
    {
        if (NbdNames.IsNbd(name))
        {
            return await BeginExportAsync(graph, name, plan).ConfigureAwait(false);
        }

        var path = CreatePlanner.PathOf(name);
        var hint = plan.Find("extent_size_hint") is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : DefaultExtentHint;
        if (hint > uint.MaxValue)
        {
            throw new BlockException(ErrorCode.Invalid, $"extent_size_hint may be at most {uint.MaxValue} bytes");
        }

        var existed = File.Exists(path);
        var node = FileNode.Create(new FileNodeOptions { Path = path }, 0, Preallocation.Off, plan.Find("nocow") is "on");
        if (hint > 0 && !node.IsDevice)
        {
            ExtentSizeHint.TrySet(path, (uint)hint);
        }

        var edge = await graph.AttachAsync(node, ChildRole.None, DefaultPermissions.Writer).ConfigureAwait(false);
        return new FileCreation(path, existed, edge);
    }

    /// <summary>
    /// Writes zeroes to the first block of a disk that has none yet, as QEMU does: who looks for the alignment that O_DIRECT
    /// needs by reading learns nothing from a hole. A device is left as it is.
    /// </summary>
    public async ValueTask AllocateFirstBlockAsync()
    {
        if (Edge.Length > 0 && Edge.Node is FileNode { IsDevice: false })
        {
            await Edge.WriteAsync(0, new byte[Edge.Length < FirstBlock ? Sector : FirstBlock]).ConfigureAwait(false);
        }
    }

    private static async ValueTask<FileCreation> BeginExportAsync(BlockGraph graph, string name, CreatePlan plan)
    {
        var uri = NbdNames.Parse(name);
        var security = NbdUriSecurity.For(uri);
        NbdNode? node = null;
        try
        {
            node = await NbdNode.OpenAsync(new NbdNodeOptions
            {
                Client = new NbdClientOptions
                {
                    Address = uri.Address,
                    ExportName = uri.ExportName,
                    Security = security,
                    TlsHostName = uri.TlsHostName,
                },
                FileName = name,
                IsFixed = true,
                Owned = security,
                Blocking = true,
            }).ConfigureAwait(false);
        }
        finally
        {
            if (node is null)
            {
                security?.Dispose();
            }
        }

        var creation = new FileCreation(null, existed: true, await graph.AttachAsync(node, ChildRole.None, DefaultPermissions.Writer).ConfigureAwait(false));
        try
        {
            if (node.Length < plan.Size && plan.Format is "raw" or "luks")
            {
                throw new BlockException(ErrorCode.NoSpace, $"The export '{name}' has {node.Length} bytes, and cannot grow to {plan.Size}", name);
            }

            await creation.Edge.WriteZeroesAsync(0, Math.Min(Sector, node.Length)).ConfigureAwait(false);
            return creation;
        }
        catch
        {
            await creation.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The image is complete: the file stays.</summary>
    public async ValueTask CompleteAsync()
    {
        await Edge.FlushAsync().ConfigureAwait(false);
        kept = true;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!kept && existed)
        {
            await EmptyAsync().ConfigureAwait(false);
        }

        try
        {
            await Edge.DisposeAsync().ConfigureAwait(false);
        }
        catch (BlockException) when (!kept)
        {
            // Why the image could not be created is on its way already.
        }

        if (!kept && !existed)
        {
            File.Delete(path!);
        }
    }

    /// <summary>A file that was there before stays, without what looks like an image and takes space.</summary>
    private async ValueTask EmptyAsync()
    {
        try
        {
            await Edge.ResizeAsync(0).ConfigureAwait(false);
        }
        catch (BlockException)
        {
            // As above.
        }
    }
}
