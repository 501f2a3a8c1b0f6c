using Byre.Cli.Img;
using Byre.Nodes;

namespace Byre.Cli.Io.Commands;

/// <summary>What is allocated in the image's own layer.</summary>
internal static class AllocationRuns
{
    private const int ExtentsAtOnce = 1024;

    /// <summary>Goes through a range; neighbours may say the same.</summary>
    public static async IAsyncEnumerable<(long From, long To, bool Allocated)> ReadAsync(BlockEdge edge, long offset, long length)
    {
        var extents = new ExtentList();
        var ofServer = ServerHoles.AreIn(edge.Node);
        for (var at = offset; at < offset + length;)
        {
            extents.Reset(at, offset + length - at, ExtentsAtOnce);
            await edge.GetExtentsAsync(extents, ExtentPrecision.Layer).ConfigureAwait(false);
            var count = extents.Items.Length;
            for (var i = 0; i < count; i++)
            {
                var extent = extents.Items[i];
                at = extent.End;
                yield return (extent.Start, extent.End, extent.State != ExtentState.Absent && !(ofServer && ServerHoles.IsOne(extent)));
            }
        }
    }
}
