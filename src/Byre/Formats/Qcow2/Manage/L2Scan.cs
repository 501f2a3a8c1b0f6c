using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Checks L2 tables, and counts the clusters that they refer to.</summary>
internal sealed class L2Scan(ImageScan scan)
{
    private readonly CheckFindings findings = scan.Findings;
    private readonly int clusterBits = scan.Header.ClusterBits;
    private readonly long clusterSize = scan.Header.ClusterSize;
    private readonly bool hasSubclusters = scan.Header.HasSubclusters;

    private readonly DataRanges? wanted = scan.Header.Autoclear.HasFlag(AutoclearFeatures.AllZero) && !scan.HasExternalData ? new() : null;

    private bool checksFlags;
    private long table; // the offset of the one that is checked

    /// <summary>Guest clusters of the active tables that have a place in the file.</summary>
    public long Allocated { get; private set; }

    /// <summary>Those that do not follow the one before them.</summary>
    public long Fragmented { get; private set; }

    /// <summary>Those that are compressed.</summary>
    public long CompressedClusters { get; private set; }

    /// <summary>Where guest data of the active tables is, if the image claims to have none: it must be zeroes.</summary>
    public DataRanges? ClaimedZero => wanted;

    /// <summary>An entry that a repair replaces by zeroes: it stands for no data that could be saved.</summary>
    public static bool MustBeZeroed(Qcow2Header header, ulong raw, ulong bitmap)
    {
        if ((raw & L2Entry.CompressedBit) != 0)
        {
            return false;
        }

        var offset = raw & L2Entry.OffsetMask;
        if (header.HasSubclusters)
        {
            return offset == 0
                ? (uint)bitmap != 0 && !(header.Incompatible.HasFlag(IncompatibleFeatures.DataFile) && (raw & L2Entry.CopiedBit) != 0)
                : ((bitmap >> 32) & bitmap & uint.MaxValue) != 0
                    || ((offset & (ulong)(header.ClusterSize - 1)) != 0 && (uint)bitmap == 0);
        }

        return offset != 0 && (raw & L2Entry.ZeroBit) != 0 && (offset & (ulong)(header.ClusterSize - 1)) != 0;
    }

    /// <summary>The entry stands for a host cluster of its own: only then its COPIED flag means something.</summary>
    public static bool IsStandardAllocated(bool hasSubclusters, ulong raw, bool hasExternalData)
    {
        if ((raw & L2Entry.CompressedBit) != 0)
        {
            return false;
        }

        if ((raw & L2Entry.OffsetMask) != 0)
        {
            return true;
        }

        // In an external data file the first cluster has the offset 0: COPIED tells it from nothing at all.
        return hasExternalData && (raw & L2Entry.CopiedBit) != 0 && (hasSubclusters || (raw & L2Entry.ZeroBit) == 0);
    }

    /// <summary>Checks one table.</summary>
    /// <param name="entries">Its entries; with extended L2 pairs of entry and bitmap.</param>
    /// <param name="offset">Where it is in the file.</param>
    /// <param name="weight">How many L1 entries lead to it.</param>
    /// <param name="active">How many of these are in the active L1 table.</param>
    public void Check(ReadOnlySpan<ulong> entries, long offset, long weight, long active)
    {
        // An L1 entry that leads to the header has no table of its own whose flags could be wrong.
        checksFlags = offset > 0;
        table = offset;
        long next = 0;
        var stride = hasSubclusters ? 2 : 1;
        for (var i = 0; i < entries.Length;)
        {
            if (entries[i] == 0 && !hasSubclusters)
            {
                var skip = entries[i..].IndexOfAnyExcept(0ul);
                if (skip < 0)
                {
                    break;
                }

                i += skip;
            }

            var run = scan.HasExternalData || hasSubclusters ? 0 : RunFrom(entries[i..]);
            if (run > 0)
            {
                CheckRun(i, entries[i], run, weight, active, ref next);
                i += run;
                continue;
            }

            CheckEntry(i, entries[i], hasSubclusters ? entries[i + 1] : 0, weight, active, ref next);
            i += stride;
        }
    }

    /// <summary>How many entries from the first on are sound and stand for host clusters that follow one another.</summary>
    private int RunFrom(ReadOnlySpan<ulong> entries)
    {
        var first = entries[0];
        var offset = (long)(first & L2Entry.OffsetMask);
        if ((first & (L2Entry.CompressedBit | L2Entry.ReservedMask)) != 0 || offset == 0 || (offset & (clusterSize - 1)) != 0
            || offset >= scan.FileLength)
        {
            return 0;
        }

        var most = (int)Math.Min(entries.Length, ImageScan.ClustersIn(scan.FileLength - offset, clusterBits));
        var n = 1;
        for (var expected = first + (ulong)clusterSize; n < most && entries[n] == expected; n++)
        {
            expected += (ulong)clusterSize;
        }

        return n;
    }

    private void CheckRun(int at, ulong raw, int count, long weight, long active, ref long next)
    {
        var offset = (long)(raw & L2Entry.OffsetMask);
        if (active > 0)
        {
            Allocated += count * active;
            if (next != 0 && offset != next)
            {
                Fragmented += active;
            }

            next = offset + (count * clusterSize);
            var (known, ones) = scan.Stored.CountOnes(offset >> clusterBits, count);
            CheckCopied(at, (raw & L2Entry.CopiedBit) != 0 ? known - ones : ones, raw, active);
            wanted?.Add(offset, (long)count << clusterBits);
        }

        scan.CountData(offset >> clusterBits, count, weight);
    }

    private void CheckCopied(int at, long wrong, ulong raw, long active)
    {
        if (wrong != 0 && checksFlags)
        {
            findings.Corruption(CheckFindingKind.CopiedFlag, wrong * active, CheckRemedy.SetCopiedFlag, PlaceOf(at), findings.WantsLines
                ? $"the COPIED flag contradicts the refcount in {wrong} L2 entries from {raw:x16} on" : null);
        }
    }

    private void CheckEntry(int at, ulong raw, ulong bitmap, long weight, long active, ref long next)
    {
        if ((raw & L2Entry.CompressedBit) != 0)
        {
            CheckCompressed(at, raw, bitmap, weight, active);
            return;
        }

        if ((raw & L2Entry.ReservedMask) != 0)
        {
            findings.Corruption(CheckFindingKind.ReservedBits, weight, CheckRemedy.None, PlaceOf(at), findings.WantsLines ? $"L2 entry {raw:x16} has reserved bits set" : null);
        }

        if (!IsStandardAllocated(hasSubclusters, raw, scan.HasExternalData))
        {
            if (hasSubclusters && (uint)bitmap != 0)
            {
                findings.Corruption(CheckFindingKind.SubclusterBitmap, weight, RemedyFor(raw, bitmap), PlaceOf(at), findings.WantsLines
                    ? $"an L2 entry without a cluster has allocated subclusters (bitmap {bitmap:x16})" : null);
            }

            return;
        }

        var offset = (long)(raw & L2Entry.OffsetMask);
        ulong count = 1;
        if (active > 0 && (scan.HasExternalData || scan.Stored.TryGet(offset >> clusterBits, out count))
            && (scan.HasExternalData || count == 1) != ((raw & L2Entry.CopiedBit) != 0))
        {
            CheckCopied(at, 1, raw, active);
        }

        if (((bitmap >> 32) & bitmap & uint.MaxValue) != 0)
        {
            findings.Corruption(CheckFindingKind.SubclusterBitmap, weight, RemedyFor(raw, bitmap), PlaceOf(at), findings.WantsLines
                ? $"the cluster at {offset:x} has subclusters that are data and zero at once (bitmap {bitmap:x16})" : null);
        }

        if ((offset & (clusterSize - 1)) != 0)
        {
            findings.Corruption(CheckFindingKind.Misaligned, weight, RemedyFor(raw, bitmap), PlaceOf(at), findings.WantsLines ? $"L2 entry {raw:x16} leads to no cluster's beginning" : null);
        }

        if (active > 0)
        {
            Allocated += active;
            if (next != 0 && offset != next)
            {
                Fragmented += active;
            }

            next = offset + clusterSize;
            AddWanted(offset, raw, bitmap);
        }

        if (!scan.HasExternalData && scan.IsInFile(offset, clusterSize, weight, "a data cluster", PlaceOf(at)))
        {
            scan.CountData(offset >> clusterBits, ((offset + clusterSize - 1) >> clusterBits) - (offset >> clusterBits) + 1, weight);
        }
    }

    private void CheckCompressed(int at, ulong raw, ulong bitmap, long weight, long active)
    {
        if ((raw & L2Entry.CopiedBit) != 0)
        {
            findings.Corruption(CheckFindingKind.CompressedEntry, weight, CheckRemedy.None, PlaceOf(at), findings.WantsLines ? $"compressed L2 entry {raw:x16} has the COPIED flag" : null);
        }

        if (scan.HasExternalData || bitmap != 0)
        {
            findings.Corruption(CheckFindingKind.CompressedEntry, weight, CheckRemedy.None, PlaceOf(at), findings.WantsLines
                ? $"compressed L2 entry {raw:x16} {(bitmap != 0 ? "has a subcluster bitmap" : "in an image with a data file")}" : null);
            return;
        }

        var (place, length) = new L2Entry(raw).CompressedPlace(scan.Geometry);
        var offset = place.Value;
        if (scan.IsInFile(offset, length, weight, "a compressed cluster", PlaceOf(at)))
        {
            var first = offset >> clusterBits;
            scan.CountData(first, ((offset + length - 1) >> clusterBits) - first + 1, weight);
        }

        wanted?.AddCompressed(active);
        Allocated += active;
        CompressedClusters += active;
        Fragmented += active;
    }

    private FindingPlace PlaceOf(int at) => new(table + (at * 8L), CheckTable.L2, hasSubclusters ? at / 2 : at);

    private CheckRemedy RemedyFor(ulong raw, ulong bitmap) =>
        (table & (clusterSize - 1)) == 0 && MustBeZeroed(scan.Header, raw, bitmap) ? CheckRemedy.ZeroEntry : CheckRemedy.None;

    /// <summary>Subclusters of data, and clusters that are not flagged as zeroes, must read as zeroes where the image says so.</summary>
    private void AddWanted(long offset, ulong raw, ulong bitmap)
    {
        if (wanted is null || (!hasSubclusters && (raw & L2Entry.ZeroBit) != 0))
        {
            return;
        }

        if (!hasSubclusters || (uint)bitmap == uint.MaxValue)
        {
            wanted.Add(offset, clusterSize);
            return;
        }

        for (var i = 0; i < 32; i++)
        {
            if ((bitmap >> i & 1) != 0)
            {
                wanted.Add(offset + (i * (clusterSize / 32)), clusterSize / 32);
            }
        }
    }
}
