using Byre.Bitmaps;
using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Graph;
using Byre.Nbd.Server;
using Byre.Nodes;

namespace Byre.Cli.Serve;

/// <summary>An image that is open, and how it is shown. The server has to let go of the export before it is closed.</summary>
internal sealed class OpenExport : IAsyncDisposable
{
    private readonly OpenImage image;
    private readonly string title;

    private OpenExport(OpenImage image, NbdExport export, string title)
    {
        this.image = image;
        this.title = title;
        Export = export;
    }

    /// <summary>What the server shows.</summary>
    public NbdExport Export { get; }

    /// <summary>Opens it.</summary>
    /// <param name="wanted">What is asked for.</param>
    /// <param name="objects">The objects of the command line.</param>
    /// <param name="warn">Takes warnings.</param>
    /// <param name="severalConnections">A client may have several; where it may not, it must not try and wait for ever.</param>
    /// <exception cref="ImgFailure">It cannot be opened or shown as wanted; one line that names it.</exception>
    public static async ValueTask<OpenExport> OpenAsync(ServedExport wanted, ObjectStore objects, Action<string> warn, bool severalConnections)
    {
        var options = new OpenOptions
        {
            Format = wanted.Format,
            Options = wanted.Options,
            ReadOnly = wanted.ReadOnly,
            Cache = wanted.Cache,
            DiscardUnmap = wanted.DiscardUnmap,
            DetectZeroes = wanted.DetectZeroes,
            Snapshot = wanted.IsTemporary,
            Gate = OpenGate.AllowAll,
            Objects = objects,
            Warn = warn,
            LayersBehind = wanted.HasDepth,
        };
        var image = await OpenAsync(wanted, options, wanted.CanResize).ConfigureAwait(false);
        if (!wanted.ReadOnly && !wanted.CanResize && EndsBehindFile(image.Edge))
        {
            await image.DisposeAsync().ConfigureAwait(false);
            image = await OpenAsync(wanted, options, resizes: true).ConfigureAwait(false);
        }

        try
        {
            if (wanted.LoadedSnapshot is { } snapshot)
            {
                await SnapshotSource.ShowAsync(image, snapshot, wanted.Title).ConfigureAwait(false);
            }

            var bitmaps = new List<DirtyBitmap>();
            foreach (var bitmap in wanted.Bitmaps)
            {
                bitmaps.Add(await FindBitmapAsync(image, bitmap, wanted.ReadOnly, wanted.Title).ConfigureAwait(false));
            }

            if (wanted.Offset > image.Edge.Length)
            {
                throw new ImgFailure($"'{wanted.Title}': the offset {wanted.Offset} lies behind its {image.Edge.Length} bytes");
            }

            var export = new NbdExport(
                new NbdExportOptions
                {
                    Name = wanted.Name,
                    Description = wanted.Description,
                    ReadOnly = wanted.ReadOnly,
                    WriteThrough = wanted.Cache.Writethrough,
                    AllowMultiConn = severalConnections,
                    AllocationDepth = wanted.HasDepth,
                    Bitmaps = bitmaps,
                    CanResize = wanted.CanResize && wanted is { Offset: 0, Length: null },
                    Offset = wanted.Offset,
                    Length = wanted.Length,
                },
                image.Edge);
            return new OpenExport(image, export, wanted.Title);
        }
        catch (Exception e)
        {
            await image.DisposeAsync().ConfigureAwait(false);
            if (e is BlockException)
            {
                throw new ImgFailure(ImgImages.Naming(e.Message, wanted.Title, "Could not serve"), 1, e);
            }

            throw;
        }
    }

    /// <summary>Closes the image: what is cached is written, and bitmaps are stored.</summary>
    /// <exception cref="ImgFailure">Something of it could not be written; the message names the image.</exception>
    public async ValueTask DisposeAsync()
    {
        try
        {
            if ((image.Edge.Permissions.Used & Nodes.Permissions.Write) != 0)
            {
                await image.Edge.FlushAsync().ConfigureAwait(false);
            }
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, title, "Could not flush"), 1, e);
        }
        finally
        {
            await CloseAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask CloseAsync()
    {
        try
        {
            await image.DisposeAsync().ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, title, "Could not close"), 1, e);
        }
    }

    /// <summary>Others may write the image meanwhile where its format allows that, but not change its length.</summary>
    private static PermissionSet Permissions(ServedExport wanted, bool resizes) => new(
        Nodes.Permissions.ConsistentRead | (wanted.ReadOnly ? Nodes.Permissions.None : Nodes.Permissions.Write)
            | (resizes && !wanted.ReadOnly ? Nodes.Permissions.Resize : Nodes.Permissions.None),
        Nodes.Permissions.All & ~Nodes.Permissions.Resize);

    /// <summary>The last sector of a raw disk reaches past its file, which grows when that is written.</summary>
    private static bool EndsBehindFile(BlockEdge edge) => edge.Node.GrowsOnWrite && edge.Node.PrimaryChild is { } file && file.Length < edge.Length;

    private static async ValueTask<OpenImage> OpenAsync(ServedExport wanted, OpenOptions options, bool resizes)
    {
        if (wanted.FileName is { } name)
        {
            return await ImgImages.OpenAsync(name, wanted.IsImageOptions, options, Permissions(wanted, resizes)).ConfigureAwait(false);
        }

        try
        {
            return await ImageOpener.OpenAsync(options, Permissions(wanted, resizes)).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, wanted.Title, "Could not open"), 1, e);
        }
    }

    /// <summary>A bitmap of the image or of the nearest layer below that has one with this name.</summary>
    private static async ValueTask<DirtyBitmap> FindBitmapAsync(OpenImage image, string name, bool readOnly, string title)
    {
        foreach (var layer in new BackingChain(image.Edge).Layers)
        {
            for (var node = layer.Node; node is not null; node = node is IBackedNode ? null : node.PrimaryChild?.Node)
            {
                IReadOnlyList<DirtyBitmap> bitmaps = node is IPersistentBitmaps keeper ? await keeper.ListBitmapsAsync().ConfigureAwait(false) : [];
                if (bitmaps.FirstOrDefault(b => b.Name == name) is not { } found)
                {
                    continue;
                }

                if (found.IsInconsistent)
                {
                    throw new ImgFailure($"'{title}': the bitmap '{name}' is inconsistent: who wrote the image did not close it; it can only be removed");
                }

                return readOnly && found.IsEnabled && !node.IsReadOnly
                    ? throw new ImgFailure($"'{title}': the bitmap '{name}' records what is written, and does not go with an export for reading only")
                    : found;
            }
        }

        throw new ImgFailure($"'{title}': there is no bitmap '{name}'");
    }
}
