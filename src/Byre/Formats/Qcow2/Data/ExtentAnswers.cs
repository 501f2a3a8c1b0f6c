using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Says what an image's own layer holds: the answer to one question. What the tables in memory and the data that were found
/// last decide is added without a pause.
/// </summary>
/// <param name="map">The image's mapping.</param>
/// <param name="data">Where data lie.</param>
/// <param name="extents">The question.</param>
/// <param name="precision">How hard to look.</param>
internal struct ExtentAnswers(GuestMap map, DataClusters data, ExtentList extents, ExtentPrecision precision)
{
    private const int FileLimit = 256;

    // A shorter run of clusters is looked at together with what follows it in the file, where the next one may lie.
    private const long LongRun = 1 << 20;
    private const long LookAhead = 1 << 30;

    private readonly bool looksBelow = precision == ExtentPrecision.Exact && !data.IsEncrypted;
    private TableHint hint;

    // The file has data here, as it said after the question began. Holes are not remembered: a cluster that was a hole then
    // may have been taken and written meanwhile.
    private long dataStart;
    private long dataEnd;

    /// <summary>Answers a question.</summary>
    public static async ValueTask AnswerAsync(GuestMap map, DataClusters data, ExtentList extents, ExtentPrecision precision)
    {
        var answers = new ExtentAnswers(map, data, extents, precision);
        ExtentList? below = null;
        while (!answers.AddKnown())
        {
            var at = extents.End;
            var run = await map.FindAsync(at, extents.RangeEnd - at).ConfigureAwait(false);
            if (!answers.looksBelow || run.Kind != SubclusterKind.Normal)
            {
                continue; // it is known now
            }

            var host = run.Host.Value;
            var length = data.Edge.Length - host;
            if (length <= 0)
            {
                extents.Add(new BlockExtent(at, run.Length, ExtentState.Zero, ExtentFlags.Hole, host, data.Edge.Node, 1));
                continue;
            }

            below ??= new ExtentList();
            var isLong = run.Length >= LongRun;
            below.Reset(host, Math.Min(length, isLong ? run.Length : LookAhead), isLong ? FileLimit : 1);
            await data.Edge.GetExtentsAsync(below, ExtentPrecision.Exact).ConfigureAwait(false);
            answers.AddBelow(below, run);
        }
    }

    /// <summary>Adds what needs no request.</summary>
    /// <returns>False where the tables or the file must be read to go on.</returns>
    private bool AddKnown()
    {
        while (!extents.IsFull)
        {
            var at = extents.End;
            if (!map.TryFind(at, extents.RangeEnd - at, ref hint, out var run) || run.Kind == SubclusterKind.Invalid)
            {
                return false;
            }

            if (!looksBelow || run.Kind != SubclusterKind.Normal)
            {
                Add(run);
                continue;
            }

            var host = run.Host.Value;
            if (host < dataStart || host >= dataEnd)
            {
                return false;
            }

            var length = Math.Min(run.Length, dataEnd - host);
            extents.Add(new BlockExtent(at, length, ExtentState.Data, ExtentFlags.None, host, data.Edge.Node, 1));
        }

        return true;
    }

    private readonly void Add(in GuestRun run)
    {
        var state = run.Kind switch
        {
            SubclusterKind.Normal or SubclusterKind.Compressed => ExtentState.Data,
            SubclusterKind.ZeroPlain or SubclusterKind.ZeroAllocated => ExtentState.Zero,
            _ => ExtentState.Absent,
        };
        var flags = run.Kind switch
        {
            SubclusterKind.Compressed => ExtentFlags.Compressed,
            SubclusterKind.ZeroAllocated or SubclusterKind.UnallocatedAllocated => ExtentFlags.Reserved,
            SubclusterKind.Normal => ExtentFlags.None,
            _ => ExtentFlags.Hole,
        };

        // Where the bytes lie is told only where they lie there as the guest sees them.
        var hasHost = !data.IsEncrypted
            && run.Kind is SubclusterKind.Normal or SubclusterKind.ZeroAllocated or SubclusterKind.UnallocatedAllocated;
        extents.Add(new BlockExtent(
            extents.End, run.Length, state, flags, hasHost ? run.Host.Value : -1, hasHost ? data.Edge.Node : null, 1));
    }

    private void AddBelow(ExtentList below, in GuestRun run)
    {
        var toHost = run.Host.Value - extents.End;
        var end = run.Host.Value + run.Length;
        foreach (ref readonly var piece in below.Items)
        {
            var isHole = piece.ReadsAsZero;
            if (piece.Start < end)
            {
                extents.Add(new BlockExtent(
                    piece.Start - toHost,
                    Math.Min(piece.End, end) - piece.Start,
                    isHole ? ExtentState.Zero : ExtentState.Data,
                    isHole && piece.IsHole ? ExtentFlags.Hole : ExtentFlags.None,
                    piece.Start,
                    data.Edge.Node,
                    1));
            }

            if (!isHole)
            {
                (dataStart, dataEnd) = (piece.Start, piece.End);
            }
        }
    }
}
