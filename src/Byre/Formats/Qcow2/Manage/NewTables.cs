using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>A snapshot table and a bitmap directory that a repair writes anew, of what could be read of the old ones.</summary>
internal sealed class NewTables
{
    private readonly byte[]? snapshots;
    private readonly uint snapshotCount;
    private readonly byte[]? bitmaps;
    private readonly uint bitmapCount;

    private NewTables(byte[]? snapshots, uint snapshotCount, byte[]? bitmaps, uint bitmapCount)
    {
        this.snapshots = snapshots;
        this.snapshotCount = snapshotCount;
        this.bitmaps = bitmaps;
        this.bitmapCount = bitmapCount;
    }

    /// <summary>No table is written anew.</summary>
    public bool IsEmpty => snapshots is null && bitmaps is null;

    /// <summary>More of the header changes than its fixed fields.</summary>
    public bool ChangesExtensions => bitmaps is not null;

    /// <summary>What a scan has found worth keeping.</summary>
    /// <exception cref="BlockException">The snapshot table cannot be read.</exception>
    public static async ValueTask<NewTables> OfAsync(ImageScan scan)
    {
        var (snapshots, snapshotCount) = scan.Snapshots.MustRewrite ? await scan.Snapshots.BuildAsync().ConfigureAwait(false) : (null, 0u);
        var (bitmaps, bitmapCount) = scan.Bitmaps.MustRewrite ? scan.Bitmaps.Build() : (null, 0u);
        return new NewTables(snapshots, snapshotCount, bitmaps, bitmapCount);
    }

    /// <summary>How many clusters they take.</summary>
    public long ClustersIn(int clusterBits) =>
        ImageScan.ClustersIn(snapshots?.Length ?? 0, clusterBits) + ImageScan.ClustersIn(bitmaps?.Length ?? 0, clusterBits);

    /// <summary>Writes them, one behind the other.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="at">The beginning of the first cluster.</param>
    /// <param name="clusterBits">The size of clusters.</param>
    /// <returns>What makes the header lead to them.</returns>
    /// <exception cref="BlockException">The file cannot be written.</exception>
    public async ValueTask<Func<Qcow2Header, Qcow2Header>> WriteAsync(BlockEdge file, long at, int clusterBits)
    {
        var snapshotsAt = at;
        at += await WriteAsync(file, snapshotsAt, clusterBits, snapshots).ConfigureAwait(false);
        _ = await WriteAsync(file, at, clusterBits, bitmaps).ConfigureAwait(false);
        return header =>
        {
            header = snapshots is null
                ? header
                : header with { SnapshotCount = snapshotCount, SnapshotsOffset = snapshotCount == 0 ? 0 : snapshotsAt };
            return bitmaps is null ? header : WithBitmaps(header, at);
        };
    }

    private static async ValueTask<long> WriteAsync(BlockEdge file, long at, int clusterBits, byte[]? table)
    {
        if (table is not { Length: > 0 })
        {
            return 0;
        }

        var bytes = new byte[ImageScan.ClustersIn(table.Length, clusterBits) << clusterBits];
        table.CopyTo(bytes, 0);
        await file.WriteAsync(at, bytes).ConfigureAwait(false);
        return bytes.Length;
    }

    private Qcow2Header WithBitmaps(Qcow2Header header, long at)
    {
        var extensions = header.Extensions.Where(e => e.Type != HeaderExtensionTypes.Bitmaps).ToList();
        if (bitmapCount == 0)
        {
            return header with { Extensions = extensions, Autoclear = header.Autoclear & ~AutoclearFeatures.Bitmaps };
        }

        var data = new byte[BitmapsExtension.Length];
        new BitmapsExtension(bitmapCount, (ulong)bitmaps!.Length, (ulong)at).Write(data);
        var index = header.Extensions.ToList().FindIndex(e => e.Type == HeaderExtensionTypes.Bitmaps);
        extensions.Insert(Math.Min(index, extensions.Count), new HeaderExtension(HeaderExtensionTypes.Bitmaps, data));
        return header with { Extensions = extensions };
    }
}
