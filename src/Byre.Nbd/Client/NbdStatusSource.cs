using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>Turns block status of a server into extents of a node.</summary>
internal sealed class NbdStatusSource(NbdNodeOptions options, NbdLink link, RequestPool pool, StatusRest rest)
{
    private const long LongestCompact = (1L << 32) - (64 << 10);
    private const long LookAhead = 64 << 20; // a walk comes to it soon, and a question costs a round trip
    private const int DepthOfOthers = 2;

    private readonly NbdSession session = link.Session;
    private readonly bool isDepth = options.AllocationContext == NbdContextNames.AllocationDepth;

    /// <summary>The context that extents come from, as its place among those selected; negative for none.</summary>
    private int Context => session.Contexts.Count > 0
        && session.Contexts[0].Name == (options.AllocationContext ?? NbdContextNames.BaseAllocation) ? 0 : -1;

    /// <summary>Answers a question of the graph.</summary>
    public async ValueTask GetExtentsAsync(ExtentList extents, BlockNode node)
    {
        if (Context < 0)
        {
            extents.Add(new BlockExtent(extents.End, extents.RangeEnd - extents.End, ExtentState.Data, ExtentFlags.None, extents.End, node, 1));
            return;
        }

        var sink = new NbdStatusSink();
        while (!extents.IsFull)
        {
            var before = extents.End;
            rest.Give(extents, Make);
            if (extents.IsFull || extents.End != before)
            {
                continue;
            }

            var mark = rest.Mark;
            var block = session.MinimumBlock;
            var start = before & ~((long)block - 1);
            await AskAsync(start, Math.Max(extents.RangeEnd - start, Math.Min(session.Size - start, LookAhead)), sink).ConfigureAwait(false);
            rest.Keep(before, FromOn(sink.Of(Context), before - start), mark);
            var known = extents.End;
            rest.Give(extents, Make);
            if (extents.End == known && !extents.IsFull)
            {
                // The export was changed meanwhile: what was learned is good for this question, and for no other.
                Take(extents, sink, Make);
                if (extents.End == known)
                {
                    return;
                }
            }
        }

        BlockExtent Make(long start, long length, ulong flags) => Of(start, length, flags, node);
    }

    /// <summary>Asks the server.</summary>
    public ValueTask AskAsync(long offset, long length, NbdStatusSink sink)
    {
        if (session.Contexts.Count == 0)
        {
            throw new BlockException(ErrorCode.NotSupported, $"The NBD server at '{session.Server}' has none of the metadata contexts asked for", session.Server);
        }

        var block = session.MinimumBlock;
        length = session.Style == NbdHeaderStyle.Extended ? length : Math.Min(length, LongestCompact);
        var end = Math.Min(session.Size, (offset + length + block - 1) & ~((long)block - 1));
        var request = pool.Rent().Set(NbdCommand.BlockStatus, NbdCommandFlags.None, offset, end - offset)
            .To(sink, session.Contexts.Count);
        if (!options.Blocking)
        {
            link.Submit(request);
            return request.AsValueTask();
        }

        link.Submit(request.ForWaiting());
        request.Wait();
        return default;
    }

    private static List<NbdStatusDescriptor> FromOn(IReadOnlyList<NbdStatusDescriptor> extents, long skipped)
    {
        var result = new List<NbdStatusDescriptor>(extents.Count);
        foreach (var extent in extents)
        {
            var cut = Math.Min((ulong)skipped, extent.Length);
            skipped -= (long)cut;
            if (extent.Length > cut)
            {
                result.Add(extent with { Length = extent.Length - cut });
            }
        }

        return result;
    }

    private static void Take(ExtentList extents, NbdStatusSink sink, Func<long, long, ulong, BlockExtent> make)
    {
        var at = extents.End;
        foreach (var extent in FromOn(sink.Of(0), at - sink.Offset))
        {
            if (extents.IsFull)
            {
                return;
            }

            var length = Math.Min((long)extent.Length, extents.RangeEnd - at);
            extents.Add(make(at, length, extent.Flags));
            at += length;
        }
    }

    private BlockExtent Of(long start, long length, ulong flags, BlockNode node)
    {
        if (isDepth && flags > DepthOfOthers)
        {
            flags = DepthOfOthers; // as QEMU reads a depth in the place of base:allocation
        }

        var hole = (flags & (ulong)NbdAllocation.Hole) != 0;
        return new BlockExtent(
            start,
            length,
            (flags & (ulong)NbdAllocation.Zero) != 0 ? ExtentState.Zero : ExtentState.Data,
            hole ? ExtentFlags.Hole : ExtentFlags.None,
            start,
            node,
            1);
    }
}
