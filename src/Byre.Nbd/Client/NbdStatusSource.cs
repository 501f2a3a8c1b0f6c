using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>Turns block status of a server into extents of a node.</summary>
internal sealed class NbdStatusSource(NbdNodeOptions options, NbdLink link, RequestPool pool, StatusRest rest)
{
    private const long LongestCompact = (1L << 32) - (64 << 10);
    private const long LookAhead = 64 << 20; // a walk comes to it soon, and a question costs a round trip
    private const int DepthOfOthers = 2;
    private const int DepthShift = 32;
    private const ulong DeepestTold = int.MaxValue / 2;
    private const int MostAtOnce = 16;

    private readonly NbdSession session = link.Session;
    private readonly bool isDepth = options.AllocationContext == NbdContextNames.AllocationDepth;

    /// <summary>The context that extents come from, as its place among those selected; negative for none.</summary>
    private readonly int contentContext = PlaceOf(link.Session, options.AllocationContext ?? NbdContextNames.BaseAllocation);

    /// <summary>The context that tells of the layers behind the server, where it was selected too; negative for none.</summary>
    private readonly int depthContext = options.AllocationContext is null ? PlaceOf(link.Session, NbdContextNames.AllocationDepth) : -1;

    /// <summary>Answers a question of the graph.</summary>
    public async ValueTask GetExtentsAsync(ExtentList extents, BlockNode node)
    {
        if (contentContext < 0)
        {
            extents.Add(new BlockExtent(extents.End, extents.RangeEnd - extents.End, ExtentState.Data, ExtentFlags.None, extents.End, node, 1));
            return;
        }

        var sink = new NbdStatusSink();
        var atOnce = 1;
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
            if (atOnce > 1 && session.Style != NbdHeaderStyle.Extended && extents.RangeEnd - start > LongestCompact)
            {
                atOnce = await AskSeveralAsync(extents, start, atOnce, Make).ConfigureAwait(false) ? Math.Min(atOnce * 2, MostAtOnce) : 1;
                if (extents.End != before)
                {
                    continue;
                }
            }

            await AskAsync(start, Math.Max(extents.RangeEnd - start, Math.Min(session.Size - start, LookAhead)), sink).ConfigureAwait(false);
            var answer = FromOn(Answer(sink), before - start);
            if (answer.Count == 0)
            {
                // It told of less than a block. What is not known of the block counts as data, as the specification lets it.
                answer.Add(new NbdStatusDescriptor((ulong)(Math.Min(start + block, session.Size) - before), depthContext < 0 ? 0 : 2UL << DepthShift));
            }

            atOnce = answer is [{ Length: >= LongestCompact / 2 }] ? 2 : 1;
            rest.Keep(before, answer, mark);
            var known = extents.End;
            rest.Give(extents, Make);
            if (extents.End == known && !extents.IsFull)
            {
                // The export was changed meanwhile: what was learned is good for this question, and for no other.
                Take(extents, answer, Make);
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
        var request = Send(offset, length, sink);
        if (!options.Blocking)
        {
            return request.AsValueTask();
        }

        request.Wait();
        return default;
    }

    private NbdRequest Send(long offset, long length, NbdStatusSink sink)
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
        request = options.Blocking ? request.ForWaiting() : request;
        link.Submit(request);
        return request;
    }

    /// <summary>
    /// Asks for several ranges of the greatest length at once, as the last answers were of one piece: without extended headers
    /// a large hole would cost a round trip for each. What lies behind the first answer that is none of one piece is dropped.
    /// </summary>
    /// <param name="extents">Takes the answers.</param>
    /// <param name="start">Where the first range begins; <see cref="ExtentList.End"/>, rounded down.</param>
    /// <param name="most">The most questions.</param>
    /// <param name="make">Makes an extent of its start, length and flags.</param>
    /// <returns>All answers were of one piece.</returns>
    private async ValueTask<bool> AskSeveralAsync(ExtentList extents, long start, int most, Func<long, long, ulong, BlockExtent> make)
    {
        var count = (int)Math.Min(most, ((extents.RangeEnd - start - 1) / LongestCompact) + 1);
        var asked = new (NbdRequest Request, NbdStatusSink Sink)[count];
        for (var i = 0; i < count; i++)
        {
            var sink = new NbdStatusSink();
            var at = start + (i * LongestCompact);
            asked[i] = (Send(at, Math.Min(extents.RangeEnd - at, LongestCompact), sink), sink);
            if (options.Blocking)
            {
                asked[i].Request.SendAhead();
            }
        }

        var isWhole = true;
        foreach (var (request, sink) in asked)
        {
            try
            {
                if (options.Blocking)
                {
                    request.Wait();
                }
                else
                {
                    await request.AsValueTask().ConfigureAwait(false);
                }
            }
            catch (BlockException)
            {
                isWhole = false; // where it still matters, it is asked again, and fails again
            }

            if (isWhole)
            {
                var answer = FromOn(Answer(sink), extents.End - sink.Offset);
                var end = Math.Min(sink.Offset + LongestCompact, extents.RangeEnd);
                Take(extents, answer, make);
                isWhole = answer.Count == 1 && extents.End >= end;
            }
        }

        return isWhole;
    }

    /// <summary>
    /// What the server has answered, from where it was asked on: in the lower 32 bits of the flags those of the context that
    /// extents come from, and above one more than the depth, where that is told too.
    /// </summary>
    private IReadOnlyList<NbdStatusDescriptor> Answer(NbdStatusSink sink)
    {
        var content = sink.Of(contentContext);
        if (depthContext < 0)
        {
            return content;
        }

        var depths = sink.Of(depthContext);
        var result = new List<NbdStatusDescriptor>(content.Count + depths.Count);
        ulong at = 0, contentEnd = 0, depthEnd = 0;
        for (int i = -1, k = -1; ;)
        {
            // Both begin at one place; they are cut to common lengths.
            if (at == contentEnd)
            {
                if (++i == content.Count)
                {
                    return result;
                }

                contentEnd += content[i].Length;
            }

            if (at == depthEnd)
            {
                if (++k == depths.Count)
                {
                    return result;
                }

                depthEnd += depths[k].Length;
            }

            var end = Math.Min(contentEnd, depthEnd);
            var depth = Math.Min(depths[k].Flags, DeepestTold) + 1;
            result.Add(new NbdStatusDescriptor(end - at, (content[i].Flags & uint.MaxValue) | (depth << DepthShift)));
            at = end;
        }
    }

    private static int PlaceOf(NbdSession session, string name)
    {
        for (var i = 0; i < session.Contexts.Count; i++)
        {
            if (session.Contexts[i].Name == name)
            {
                return i;
            }
        }

        return -1;
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

    private static void Take(ExtentList extents, List<NbdStatusDescriptor> answer, Func<long, long, ulong, BlockExtent> make)
    {
        var at = extents.End;
        foreach (var extent in answer)
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

        var depth = depthContext < 0 ? 1 : (long)(flags >> DepthShift) - 1;
        var hole = (flags & (ulong)NbdAllocation.Hole) != 0;
        return new BlockExtent(
            start,
            length,
            (flags & (ulong)NbdAllocation.Zero) != 0 ? ExtentState.Zero : ExtentState.Data,
            hole ? ExtentFlags.Hole : ExtentFlags.None,
            start,
            node,
            1,
            (int)depth - 1);
    }
}
