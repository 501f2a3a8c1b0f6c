using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Checks the metadata of a qcow2 image: what every table refers to against the reference counts that the image stores. Works
/// on the file alone, so nobody else may be writing to it.
/// </summary>
public static class Qcow2Checker
{
    /// <summary>Checks an image, and repairs it where told to.</summary>
    /// <param name="file">The image file. A repair writes through it, and may make the file longer.</param>
    /// <param name="header">The image's header as it is in the file.</param>
    /// <param name="hasExternalData">Guest data lies in another file.</param>
    /// <param name="repair">What is repaired. The header in the file may have changed afterwards: read it again.</param>
    /// <param name="progress">Told of the part that is done, from 0 to 1; several times over in a repair.</param>
    /// <exception cref="BlockException">Writing a repair failed. A failure to read is part of the report.</exception>
    public static ValueTask<CheckReport> CheckAsync(
        BlockEdge file, Qcow2Header header, bool hasExternalData, RepairMode repair, IProgress<double>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        return CheckAsync(file, header, hasExternalData, repair, mayDrop: true, progress);
    }

    /// <summary>
    /// Brings the reference counts of an image up to date that was not closed properly (lazy refcounts, the dirty bit), and
    /// clears the bit. Afterwards the header must be read again.
    /// </summary>
    /// <param name="file">The image file, which is written.</param>
    /// <param name="header">Its header.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: the image needs a repair that a person decides on.</exception>
    public static async ValueTask RepairDirtyAsync(BlockEdge file, Qcow2Header header)
    {
        ArgumentNullException.ThrowIfNull(header);
        var report = await CheckAsync(file, header, header.HasDataFile, RepairMode.All, mayDrop: false, null).ConfigureAwait(false);
        if (report.Corruptions != 0 || report.CheckErrors != 0 || report.Aborted is not null)
        {
            throw new BlockException(
                ErrorCode.Corrupt,
                $"The image '{file.Node.FileName}' was not closed properly and could not be repaired: "
                    + (report.Aborted ?? $"{report.Corruptions} corruptions are left."),
                file.Node.Name);
        }
    }

    private static async ValueTask<CheckReport> CheckAsync(
        BlockEdge file, Qcow2Header header, bool hasExternalData, RepairMode repair, bool mayDrop, IProgress<double>? progress)
    {
        var (scan, before) = await ScanAsync(file, header, hasExternalData, progress).ConfigureAwait(false);
        if (repair == RepairMode.None || scan is null || before.Aborted is not null)
        {
            return before;
        }

        var repairer = await Qcow2Repairer.CreateAsync(file, header, hasExternalData, progress).ConfigureAwait(false);
        var problem = await repairer.RepairAsync(scan, repair, mayDrop).ConfigureAwait(false);
        if (problem is not null && !repairer.HasWritten)
        {
            return before with { Aborted = problem };
        }

        var (_, after) = await ScanAsync(file, repairer.Header, hasExternalData, progress).ConfigureAwait(false);
        if (after is { Corruptions: 0, CheckErrors: 0, Aborted: null })
        {
            await repairer.MarkCleanAsync().ConfigureAwait(false);
        }

        return after with
        {
            CorruptionsFixed = Math.Max(0, before.Corruptions - after.Corruptions),
            LeaksFixed = Math.Max(0, before.Leaks - after.Leaks),
            Findings = before.Findings,
            DroppedFindings = before.DroppedFindings,
            Aborted = problem ?? after.Aborted,
        };
    }

    private static async ValueTask<(ImageScan? Scan, CheckReport Report)> ScanAsync(
        BlockEdge file, Qcow2Header header, bool hasExternalData, IProgress<double>? progress)
    {
        ImageScan? scan = null;
        string? aborted = null;
        try
        {
            scan = await ImageScan.BeginAsync(file, header, hasExternalData).ConfigureAwait(false);
            await scan.WalkAsync(true, progress).ConfigureAwait(false);
            scan.Compare();
            await GuestPlaces.FindAsync(scan).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            aborted = e.Message;
        }

        var findings = scan?.Findings ?? new CheckFindings();
        return (scan, new CheckReport
        {
            Corruptions = findings.Corruptions,
            Leaks = findings.Leaks,
            CheckErrors = findings.CheckErrors + (aborted is null ? 0 : 1),
            ImageEndOffset = scan?.ImageEnd ?? 0,
            TotalClusters = ImageScan.ClustersIn(header.Size & ~511L, header.ClusterBits),
            AllocatedClusters = scan?.Tables.Entries.Allocated ?? 0,
            FragmentedClusters = scan?.Tables.Entries.Fragmented ?? 0,
            CompressedClusters = scan?.Tables.Entries.CompressedClusters ?? 0,
            HasFragmentation = true,
            Findings = findings.Kept,
            DroppedFindings = findings.Dropped,
            Aborted = aborted,
        });
    }
}
