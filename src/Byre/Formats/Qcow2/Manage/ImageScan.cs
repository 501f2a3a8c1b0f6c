using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// One walk over all metadata of an image: every table is read once, however many entries lead to it, and everything that is
/// kept grows with the file's clusters, never with a number that the file claims.
/// </summary>
internal sealed class ImageScan
{
    private const int MaxMisalignedTables = 64;

    private readonly TableReader reader;
    private readonly ReferenceCounts tables; // L1 entries that lead to the L2 table in a cluster
    private readonly ReferenceCounts activeTables; // those of the active L1 table among them
    private readonly Dictionary<long, (long Weight, long Active)> misalignedTables = [];
    private readonly L2Scan entries;
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
        tables = new ReferenceCounts(Clusters + 1);
        activeTables = new ReferenceCounts(Clusters + 1);
        entries = new L2Scan(this);
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
    /// The lowest byte behind the file's end that an entry leads to: what is put there would be taken for what was lost.
    /// </summary>
    public long FirstLost { get; private set; } = long.MaxValue;

    /// <summary>Clusters that are in use are counted as free.</summary>
    public bool HasFreeInUse { get; private set; }

    /// <summary>The byte behind the last cluster that is in use or counted.</summary>
    public long ImageEnd { get; private set; }

    /// <summary>Counts of the guest's clusters.</summary>
    public L2Scan Entries => entries;

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
        var snapshots = await SnapshotScan.ReadAsync(reader, this).ConfigureAwait(false);
        await ScanL1Async(snapshots).ConfigureAwait(false);
        ReferenceLuks();
        await BitmapScan.RunAsync(reader, this).ConfigureAwait(false);
        if (countRefcounts)
        {
            Reference(MetadataKind.RefcountTable, Header.RefcountTableOffset,
                (long)Header.RefcountTableClusters << Header.ClusterBits, "the refcount table");
            MarkBlocks();
        }

        await ScanL2Async(progress).ConfigureAwait(false);
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
    public bool IsInFile(long offset, long length, long weight, string what)
    {
        if (offset < 0 || offset > long.MaxValue - length || offset + length - FileLength >= Header.ClusterSize)
        {
            FirstLost = offset < 0 ? FirstLost : Math.Min(FirstLost, Math.Max(offset, FileLength));
            Findings.Corruption(weight, Findings.WantsLines
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
            Findings.Note($"guest data overlaps metadata ({Kinds[overlap] & ~MetadataKind.Overlap}) in cluster {overlap}");
        }

        Count(first, count, weight);
    }

    /// <summary>Refers to metadata.</summary>
    /// <returns>False where it lies behind the file's end.</returns>
    public bool Reference(MetadataKind kind, long offset, long length, string what, long weight = 1, bool isShared = false)
    {
        if (length <= 0)
        {
            return true;
        }

        if (!IsInFile(offset, length, weight, what))
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
    public void AddTable(WeightedRanges clusters, long offset, long length, string what)
    {
        if (length > 0 && IsInFile(offset, length, 1, what))
        {
            clusters.Add(offset >> Header.ClusterBits, ((offset + length - 1) >> Header.ClusterBits) + 1);
        }
    }

    /// <summary>The aligned L2 tables in the file, in order: how many L1 entries lead to each, how many of them active ones.</summary>
    public IEnumerable<(long Offset, long Weight, long Active)> AlignedTables()
    {
        for (long page = 0; page <= Clusters >> ReferenceCounts.PageBits; page++)
        {
            for (var at = 0; tables.Page(page) is { IsEmpty: false } counts; at++)
            {
                var next = counts[at..].IndexOfAnyExcept((byte)0);
                if (next < 0)
                {
                    break;
                }

                at += next;
                var cluster = (page << ReferenceCounts.PageBits) + at;
                yield return (cluster << Header.ClusterBits, tables[cluster], activeTables[cluster]);
                if (at == ReferenceCounts.PageSize - 1)
                {
                    break;
                }
            }
        }
    }

    private void Count(long first, long count, long weight)
    {
        if (first + count > Clusters)
        {
            end = 1;
        }

        var excess = Counts.AddRun(first, count, weight, MaxRefcount);
        Findings.Corruption(excess, Findings.WantsLines
            ? $"clusters from {first} on have more references than fit in {Header.RefcountBits} bits" : null);
    }

    private void MarkKind(MetadataKind kind, long first, long count, bool isShared)
    {
        var overlap = Kinds.Mark(kind, first, count, isShared);
        if (overlap >= 0)
        {
            Findings.Note($"metadata overlaps ({Kinds[overlap] & ~MetadataKind.Overlap}) in cluster {overlap}");
        }
    }

    private async ValueTask ScanL1Async(IReadOnlyList<(long Offset, long Length)> snapshots)
    {
        var bytes = new WeightedRanges();
        var clusters = new WeightedRanges();
        AddL1(bytes, clusters, Header.L1Offset, (long)Header.L1Entries * 8, true);
        foreach (var (offset, length) in snapshots)
        {
            AddL1(bytes, clusters, offset, length, false);
        }

        Reference(MetadataKind.L1Table, clusters);
        var buffer = new byte[64 << 10];
        foreach (var (start, stop, weight, active) in bytes.Segments())
        {
            for (var at = start; at < stop; at += buffer.Length)
            {
                var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, stop - at));
                await reader.ReadAsync(at, piece).ConfigureAwait(false);
                CheckL1(piece.Span, weight, active);
            }
        }
    }

    private void AddL1(WeightedRanges bytes, WeightedRanges clusters, long offset, long length, bool active)
    {
        AddTable(clusters, offset, length, active ? "the L1 table" : "a snapshot's L1 table");
        var entriesInFile = (Math.Min(length, FileLength - offset) + 7) & ~7;
        bytes.Add(offset, offset + entriesInFile, active);
    }

    private void CheckL1(Span<byte> table, long weight, long active)
    {
        foreach (var stored in MemoryMarshal.Cast<byte, ulong>(table))
        {
            if (stored != 0)
            {
                CheckL1Entry(BinaryPrimitives.ReverseEndianness(stored), weight, active);
            }
        }
    }

    private void CheckL1Entry(ulong raw, long weight, long active)
    {
        var entry = new L1Entry(raw);
        var offset = entry.Table.Value;
        if (entry.HasReservedBits)
        {
            Findings.Corruption(weight, Findings.WantsLines ? $"L1 entry {raw:x16} has reserved bits set" : null);
        }

        if (active > 0 && offset != 0 && Stored.TryGet(offset >> Header.ClusterBits, out var count)
            && (count == 1) != entry.IsCopied)
        {
            Findings.CopiedCorruption(active, Findings.WantsLines
                ? $"the COPIED flag of L1 entry {raw:x16} contradicts the refcount {count}" : null);
        }

        var isAligned = (offset & (Header.ClusterSize - 1)) == 0;
        if (!isAligned)
        {
            Findings.Corruption(weight, Findings.WantsLines ? $"L1 entry {raw:x16} leads to no cluster's beginning" : null);
        }

        if (!Reference(MetadataKind.L2Table, offset, Header.ClusterSize, "an L2 table", weight, isShared: true))
        {
            return;
        }

        if (isAligned)
        {
            tables.Add(offset >> Header.ClusterBits, weight, long.MaxValue);
            if (active > 0)
            {
                activeTables.Add(offset >> Header.ClusterBits, active, long.MaxValue);
            }
        }
        else if (misalignedTables.TryGetValue(offset, out var old))
        {
            misalignedTables[offset] = (old.Weight + weight, old.Active + active);
        }
        else if (misalignedTables.Count < MaxMisalignedTables)
        {
            misalignedTables[offset] = (weight, active);
        }
        else
        {
            Findings.Note($"the table at {offset:x} is not followed: too many are misaligned");
        }
    }

    private void ReferenceLuks()
    {
        foreach (var extension in Header.Extensions)
        {
            if (extension.Type == 0x0537be77 && extension.Data.Length >= 16)
            {
                var data = extension.Data.Span;
                Reference(MetadataKind.Header, BinaryPrimitives.ReadInt64BigEndian(data),
                    BinaryPrimitives.ReadInt64BigEndian(data[8..]), "the LUKS header");
            }
        }
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
                Count(cluster, 1, 1);
                problem = Counts[cluster] != 1 ? $"leads to a block that has {Counts[cluster]} references" : null;
            }

            if (problem is not null)
            {
                Findings.Corruption(1, Findings.WantsLines ? $"refcount table entry {i} ({raw:x16}) {problem}" : null);
                MustRebuild = true;
            }
        }
    }

    private async ValueTask ScanL2Async(IProgress<double>? progress)
    {
        var size = Header.ClusterSize;
        var buffer = new byte[Math.Max(TableReader.BatchSize, size)];
        List<(long Weight, long Active)> batch = [];
        var start = 0L;
        foreach (var (offset, weight, active) in AlignedTables())
        {
            var length = (long)batch.Count * size;
            if (batch.Count > 0 && (offset != start + length || length + size > buffer.Length))
            {
                await ScanBatchAsync(buffer, start, batch).ConfigureAwait(false);
                batch.Clear();
                progress?.Report((double)offset / FileLength);
            }

            start = batch.Count == 0 ? offset : start;
            batch.Add((weight, active));
        }

        await ScanBatchAsync(buffer, start, batch).ConfigureAwait(false);
        foreach (var (offset, (weight, active)) in misalignedTables)
        {
            await ScanBatchAsync(buffer, offset, [(weight, active)]).ConfigureAwait(false);
        }

        progress?.Report(1);
    }

    private async ValueTask ScanBatchAsync(byte[] buffer, long start, List<(long Weight, long Active)> batch)
    {
        var bytes = buffer.AsMemory(0, batch.Count * Header.ClusterSize);
        await reader.ReadAsync(start, bytes).ConfigureAwait(false);
        var all = MemoryMarshal.Cast<byte, ulong>(bytes.Span);
        BinaryPrimitives.ReverseEndianness(all, all);
        for (var i = 0; i < batch.Count; i++)
        {
            // An L1 entry that leads to the header has no table of its own whose flags could be wrong.
            var table = all.Slice(i * (Header.ClusterSize / 8), Header.ClusterSize / 8);
            entries.Check(table, batch[i].Weight, batch[i].Active, hasFlags: start + i > 0);
        }
    }
}
