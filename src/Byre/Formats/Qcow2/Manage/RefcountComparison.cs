using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Compares the counts that an image stores with those its references make.</summary>
internal sealed class RefcountComparison(ImageScan scan)
{
    private long highest;

    /// <summary>Compares all counts of the file's clusters and tells the scan's findings of each difference.</summary>
    /// <returns>How many clusters there are up to the last that is counted or referenced.</returns>
    public long Run()
    {
        foreach (var (first, count) in Segments(scan))
        {
            var block = (int)Math.Min(first >> scan.Stored.BlockBits, int.MaxValue);
            if (scan.Stored.IsUnreadable(block))
            {
                scan.Findings.CheckError(
                    CheckFindingKind.RefcountUnreadable, count, CheckRemedy.RebuildRefcounts, PlaceOf(first), $"the refcounts of clusters {first} to {first + count - 1} cannot be read");
                continue;
            }

            CompareSegment(first, count);
        }

        return highest + 1;
    }

    /// <summary>Pieces of the file's clusters that lie in one block of stored counts and one page of references.</summary>
    public static IEnumerable<(long First, int Count)> Segments(ImageScan scan)
    {
        var step = Math.Min(ReferenceCounts.PageSize, scan.Stored.BlockEntries);
        for (var first = 0L; first < scan.Clusters; first += step)
        {
            var count = (int)Math.Min(step, scan.Clusters - first);
            if (scan.Counts.Page(first >> ReferenceCounts.PageBits).IsEmpty && scan.Stored.Span(first, count).IsEmpty
                && !scan.Stored.IsUnreadable((int)Math.Min(first >> scan.Stored.BlockBits, int.MaxValue)))
            {
                continue;
            }

            yield return (first, count);
        }
    }

    /// <summary>The references of a segment's clusters, or nothing where there are none.</summary>
    public static ReadOnlySpan<byte> References(ImageScan scan, long first, int count)
    {
        var page = scan.Counts.Page(first >> ReferenceCounts.PageBits);
        return page.IsEmpty ? default : page.Slice((int)(first & (ReferenceCounts.PageSize - 1)), count);
    }

    private FindingPlace PlaceOf(long cluster) => new(cluster << scan.Header.ClusterBits);

    private void CompareSegment(long first, int count)
    {
        var references = References(scan, first, count);
        var stored = scan.Stored.Span(first, count);
        var last = Math.Max(references.LastIndexOfAnyExcept((byte)0), stored.LastIndexOfAnyExcept((byte)0));
        if (last < 0)
        {
            return;
        }

        highest = first + last;
        if (references.SequenceEqual(stored) && !references.Contains((byte)255))
        {
            return;
        }

        for (var cluster = first; cluster <= first + last; cluster++)
        {
            _ = scan.Stored.TryGet(cluster, out var found);
            var should = (ulong)scan.Counts[cluster];
            if (found == should)
            {
                continue;
            }

            var line = scan.Findings.WantsLines ? $"cluster {cluster} has refcount {found} and {should} references" : null;
            if (found > should)
            {
                scan.Findings.Leak(1, PlaceOf(cluster), line);
            }
            else
            {
                scan.Findings.Corruption(CheckFindingKind.RefcountTooLow, 1, CheckRemedy.RaiseRefcount, PlaceOf(cluster), line);
                scan.FoundUncounted(cluster, found);
            }
        }
    }
}
