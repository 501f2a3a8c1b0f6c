using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>Says what an image's own layer holds.</summary>
internal static class ExtentAnswers
{
    private const int FileLimit = 256;

    /// <summary>Answers a question.</summary>
    public static async ValueTask AnswerAsync(GuestMap map, DataClusters data, ExtentList extents, ExtentPrecision precision)
    {
        ExtentList? below = null;
        while (!extents.IsFull)
        {
            var at = extents.End;
            var run = await map.FindAsync(at, extents.RangeEnd - at).ConfigureAwait(false);
            if (run.Kind == SubclusterKind.Normal && precision == ExtentPrecision.Exact && !data.IsEncrypted)
            {
                await AddDataAsync(data.Edge, extents, below ??= new ExtentList(), run).ConfigureAwait(false);
                continue;
            }

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
            extents.Add(new BlockExtent(at, run.Length, state, flags, hasHost ? run.Host.Value : -1, hasHost ? data.Edge.Node : null, 1));
        }
    }

    private static async ValueTask AddDataAsync(BlockEdge data, ExtentList extents, ExtentList below, GuestRun run)
    {
        var at = extents.End;
        var end = at + run.Length;
        var toHost = run.Host.Value - at;
        while (at < end && !extents.IsFull)
        {
            var there = Math.Min(end + toHost, data.Length) - (at + toHost);
            if (there <= 0)
            {
                extents.Add(new BlockExtent(at, end - at, ExtentState.Zero, ExtentFlags.Hole, at + toHost, data.Node, 1));
                return;
            }

            below.Reset(at + toHost, there, FileLimit);
            await data.GetExtentsAsync(below, ExtentPrecision.Exact).ConfigureAwait(false);
            for (var i = 0; i < below.Count; i++)
            {
                var piece = below.Items[i];
                var isHole = piece.ReadsAsZero;
                extents.Add(new BlockExtent(
                    piece.Start - toHost,
                    piece.Length,
                    isHole ? ExtentState.Zero : ExtentState.Data,
                    isHole && piece.IsHole ? ExtentFlags.Hole : ExtentFlags.None,
                    piece.Start,
                    data.Node,
                    1));
            }

            at = below.End - toHost;
        }
    }
}
