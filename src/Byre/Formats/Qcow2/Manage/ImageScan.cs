using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// One walk over all metadata of an image: every table is read once, however many entries lead to it, and everything that is
/// kept grows with the file's clusters, never with a number that the file claims.
/// </summary>
internal sealed class ImageScan
{
    private readonly TableReader reader;
    private long end; // the highest cluster that something refers to, if that is the one behind the file's last

    private ImageScan(TableReader reader, Qcow2Header header, bool hasExternalData, StoredRefcounts stored)
    {
        this.reader = reader;
        Header = header;
        Geometry = ImageGeometry.From(header);
        HasExternalData = hasExternalData;
        Stored = stored;
        Clusters = ClustersIn(reader.FileLength, header.ClusterBits);
        MaxRefcount = (long)Math.Min(RefcountWidth.Max(header.RefcountOrder), long.MaxValue);
        Counts = new ReferenceCounts(Clusters + 1);
        Kinds = new MetadataMap(Clusters + 1);
        Tables = new TableScan(this);
        Snapshots = new SnapshotScan(this);
        Bitmaps = new BitmapScan(this);
    }

    /// <summary>The image's header.</summary>
    public Qcow2Header Header { get; }

    /// <summary>Its sizes.</summary>
    public ImageGeometry Geometry { get; }

    /// <summary>Reads the file.</summary>
    public TableReader Reader => reader;

    /// <summary>Guest data lies in another file: L2 entries count nothing here.</summary>
    public bool HasExternalData { get; }

    /// <summary>What was found.</summary>
    public CheckFindings Findings { get; } = new();

    /// <summary>The counts that the image stores.</summary>
    public StoredRefcounts Stored { get; }

    /// <summary>The counts as they should be.</summary>
    public ReferenceCounts Counts { get; }

    /// <summary>Where the metadata is.</summary>
    public MetadataMap Kinds { get; }

    /// <summary>The file's length in bytes.</summary>
    public long FileLength => reader.FileLength;

    /// <summary>The file's clusters, the last perhaps partial.</summary>
    public long Clusters { get; private set; }

    /// <summary>The highest count that fits.</summary>
    public long MaxRefcount { get; }

    /// <summary>The refcount table or its blocks cannot be used as they are: they must be made anew.</summary>
    public bool MustRebuild { get; private set; }

    /// <summary>
    /// The lowest byte behind the file's end that an entry leads to which no repair drops: what is put there would be taken for
    /// what was lost.
    /// </summary>
    public long FirstLost { get; private set; } = long.MaxValue;

    /// <summary>Clusters that are in use are counted as free.</summary>
    public bool HasFreeInUse { get; private set; }

    /// <summary>The byte behind the last cluster that is in use or counted.</summary>
    public long ImageEnd { get; private set; }

    /// <summary>The tables that map the guest's clusters.</summary>
    public TableScan Tables { get; }

    /// <summary>The snapshot table.</summary>
    public SnapshotScan Snapshots { get; }

    /// <summary>The bitmap directory.</summary>
    public BitmapScan Bitmaps { get; }

    /// <summary>The header says that the disk reads as zeroes, which is not so.</summary>
    public bool HasFalseZeroClaim { get; set; }

    /// <summary>Something that cannot be read uses clusters: what looks like leaks may be its data.</summary>
    public bool HasLostUsers => Snapshots.HasLost || Bitmaps.HasLost;

    /// <summary>Clusters needed for a number of bytes.</summary>
    public static long ClustersIn(long bytes, int clusterBits) => (bytes >> clusterBits) + ((bytes & ((1L << clusterBits) - 1)) != 0 ? 1 : 0);

    /// <summary>Walks over the image.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <param name="hasExternalData">Guest data lies in another file.</param>
    /// <param name="countRefcounts">False: the refcount table and its blocks are left out, as for building new ones.</param>
    /// <param name="progress">Told of the part that is done.</param>
    /// <exception cref="BlockException">A table cannot be read, or makes no sense at all.</exception>
    public static async ValueTask<ImageScan> RunAsync(
        BlockEdge file, Qcow2Header header, bool hasExternalData, bool countRefcounts, IProgress<double>? progress)
    {
        var scan = await BeginAsync(file, header, hasExternalData).ConfigureAwait(false);
        await scan.WalkAsync(countRefcounts, progress).ConfigureAwait(false);
        return scan;
    }

    /// <summary>Reads the stored counts, and nothing else yet.</summary>
    public static async ValueTask<ImageScan> BeginAsync(BlockEdge file, Qcow2Header header, bool hasExternalData)
    {
        var reader = new TableReader(file);
        if (ClustersIn(reader.FileLength, header.ClusterBits) > int.MaxValue)
        {
            throw new BlockException(ErrorCode.TooLarge, $"The file '{file.Node.FileName}' has too many clusters to be checked.");
        }

        var stored = await StoredRefcounts.ReadAsync(reader, header).ConfigureAwait(false);
        return new ImageScan(reader, header, hasExternalData, stored);
    }

    /// <summary>Does the walk. What was found before a failure stays in <see cref="Findings"/>.</summary>
    public async ValueTask WalkAsync(bool countRefcounts, IProgress<double>? progress)
    {
        Reference(MetadataKind.Header, 0, Header.ClusterSize, "the header");
        HeaderScan.Run(this);
        await Tables.ScanL1Async(await Snapshots.ReadAsync().ConfigureAwait(false)).ConfigureAwait(false);
        ReferenceLuks();
        await Bitmaps.RunAsync().ConfigureAwait(false);
        if (countRefcounts)
        {
            ReferenceRefcountTable();
            MarkBlocks();
        }

        await Tables.ScanL2Async(progress).ConfigureAwait(false);
        await HeaderScan.CheckClaimedZeroAsync(this).ConfigureAwait(false);
        if (countRefcounts)
        {
            CountBlocks();
        }

        Clusters += end;
    }

    /// <summary>Compares the counts, once they are all there.</summary>
    public void Compare() => ImageEnd = new RefcountComparison(this).Run() << Header.ClusterBits;

    /// <summary>A cluster has more references than its stored count says.</summary>
    public void FoundUncounted(long cluster, ulong stored)
    {
        HasFreeInUse |= stored == 0;
        MustRebuild |= !Stored.HasBlock(cluster >> Stored.BlockBits);
    }

    /// <summary>
    /// A range may reach behind the file's end by less than a cluster, as the last cluster may be partial; more is a corruption.
    /// </summary>
    public bool IsInFile(
        long offset, long length, long weight, string what, FindingPlace place = default, CheckRemedy remedy = CheckRemedy.None)
    {
        if (offset < 0 || offset > long.MaxValue - length || offset + length - FileLength >= Header.ClusterSize)
        {
            FirstLost = offset < 0 || remedy != CheckRemedy.None ? FirstLost : Math.Min(FirstLost, Math.Max(offset, FileLength));
            place = place == default ? new(offset < 0 ? null : offset) : place;
            Findings.Corruption(CheckFindingKind.OutOfFile, weight, remedy, place, Findings.WantsLines
                ? $"{what} at {offset:x} with {length} bytes lies behind the end of the file" : null);
            return false;
        }

        return true;
    }

    /// <summary>Counts references from guest clusters.</summary>
    public void CountData(long first, long count, long weight)
    {
        var overlap = Kinds.MarkData(first, count);
        if (overlap >= 0)
        {
            Findings.Note(CheckFindingKind.Overlap, new(overlap << Header.ClusterBits), Findings.WantsLines
                ? $"guest data overlaps metadata ({Kinds[overlap] & ~MetadataKind.Overlap}) in cluster {overlap}" : null);
        }

        Count(first, count, weight);
    }

    /// <summary>Refers to metadata.</summary>
    /// <returns>False where it lies behind the file's end.</returns>
    public bool Reference(
        MetadataKind kind, long offset, long length, string what, long weight = 1, bool isShared = false, FindingPlace place = default,
        CheckRemedy remedy = CheckRemedy.None)
    {
        if (length <= 0)
        {
            return true;
        }

        if (!IsInFile(offset, length, weight, what, place, remedy))
        {
            return false;
        }

        var first = offset >> Header.ClusterBits;
        var count = ((offset + length - 1) >> Header.ClusterBits) - first + 1;
        MarkKind(kind, first, count, isShared);
        Count(first, count, weight);
        return true;
    }

    /// <summary>Counts weighted references from one kind of metadata; the ranges are in clusters.</summary>
    public void Reference(MetadataKind kind, WeightedRanges clusters)
    {
        foreach (var (first, behind, weight, _) in clusters.Segments())
        {
            MarkKind(kind, first, behind - first, isShared: false);
            Count(first, behind - first, weight);
        }
    }

    /// <summary>Adds a table to ranges of clusters that are referred to later, if it lies in the file.</summary>
    /// <returns>False where it does not.</returns>
    public bool AddTable(
        WeightedRanges clusters, long offset, long length, string what, FindingPlace place, CheckRemedy remedy)
    {
        if (length > 0 && !IsInFile(offset, length, 1, what, place, remedy))
        {
            return false;
        }

        clusters.Add(offset >> Header.ClusterBits, length <= 0 ? 0 : ((offset + length - 1) >> Header.ClusterBits) + 1);
        return true;
    }

    private void Count(long first, long count, long weight)
    {
        if (first + count > Clusters)
        {
            end = 1;
        }

        var excess = Counts.AddRun(first, count, weight, MaxRefcount);
        Findings.Corruption(CheckFindingKind.RefcountOverflow, excess, CheckRemedy.None, new(first << Header.ClusterBits), Findings.WantsLines
            ? $"clusters from {first} on have more references than fit in {Header.RefcountBits} bits" : null);
    }

    private void MarkKind(MetadataKind kind, long first, long count, bool isShared)
    {
        var overlap = Kinds.Mark(kind, first, count, isShared);
        if (overlap >= 0)
        {
            Findings.Note(CheckFindingKind.Overlap, new(overlap << Header.ClusterBits), Findings.WantsLines
                ? $"metadata overlaps ({Kinds[overlap] & ~MetadataKind.Overlap}) in cluster {overlap}" : null);
        }
    }

    /// <summary>What the header leads to as a LUKS header is in use, whether or not the image is encrypted with it.</summary>
    private void ReferenceLuks()
    {
        if (EncryptionHeader.TryPlaceOf(Header, out var offset, out var length) is not { } problem)
        {
            Reference(MetadataKind.Header, offset, length, "the LUKS header");
        }
        else if (Header.CryptMethod == EncryptionHeader.Luks)
        {
            Findings.Corruption(
                CheckFindingKind.HeaderField, 1, CheckRemedy.None, new(null, CheckTable.Header), Findings.WantsLines ? problem : null);
        }
    }

    private void ReferenceRefcountTable()
    {
        if (!Header.HasPossibleRefcountTable)
        {
            MustRebuild = true;
            Findings.Corruption(
                CheckFindingKind.RefcountTable, 1, CheckRemedy.RebuildRefcounts, new(HeaderFields.RefcountTableOffset, CheckTable.Header),
                "the header's place or length of the refcount table cannot be right");
            return;
        }

        Reference(MetadataKind.RefcountTable, Header.RefcountTableOffset,
            (long)Header.RefcountTableClusters << Header.ClusterBits, "the refcount table", remedy: CheckRemedy.RebuildRefcounts);
    }

    private void MarkBlocks()
    {
        foreach (var raw in Stored.Table)
        {
            if (raw != 0 && (raw & (ulong)(Header.ClusterSize - 1)) == 0 && raw >> Header.ClusterBits < (ulong)Clusters)
            {
                MarkKind(MetadataKind.RefcountBlock, (long)(raw >> Header.ClusterBits), 1, isShared: false);
            }
        }
    }

    private void CountBlocks()
    {
        for (var i = 0; i < Stored.Table.Length; i++)
        {
            var raw = Stored.Table[i];
            var problem = (raw & 0x1ff) != 0 ? "has reserved bits set"
                : (raw & (ulong)(Header.ClusterSize - 1)) != 0 ? "leads to no cluster's beginning"
                : raw >> Header.ClusterBits >= (ulong)Clusters ? "leads behind the end of the file" : null;
            if (problem is null && raw != 0)
            {
                var cluster = (long)(raw >> Header.ClusterBits);
                MustRebuild |= Counts[cluster] != 0; // a count of one bit does not tell
                Count(cluster, 1, 1);
                problem = Counts[cluster] != 1 ? $"leads to a block that has {Counts[cluster]} references" : null;
            }

            if (problem is not null)
            {
                Findings.Corruption(
                    CheckFindingKind.RefcountTableEntry, 1, CheckRemedy.RebuildRefcounts,
                    new(Header.RefcountTableOffset + (i * 8L), CheckTable.RefcountTable, i),
                    Findings.WantsLines ? $"refcount table entry {i} ({raw:x16}) {problem}" : null);
                MustRebuild = true;
            }
        }
    }
}
