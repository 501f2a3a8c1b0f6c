using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client.Extents;

/// <summary>
/// Reads an export's extents through all metadata contexts of a connection at once. Contexts may answer with extents of unequal
/// lengths and reach unequally far: they are cut to a common length, and what one says beyond is kept, so that the server is
/// asked again only where one of them has not said anything. One caller at a time. What is kept is for one walk in ascending
/// order: a step back begins a new walk, which asks anew, as others may have changed the export.
/// </summary>
public sealed class NbdExtentReader
{
    private const int MaxBitmaps = 64;

    // Round, and less than 2^32: servers that round up themselves do not exceed 32 bits.
    private const long CompactReach = (1L << 32) - (1 << 20);

    private readonly NbdStatusQuestion ask;
    private readonly NbdStatusSink sink = new();
    private readonly long alignment;
    private readonly long maxLength;
    private readonly List<(string Name, ContextMemory Memory)> contexts = [];
    private long walked;
    private int changes;

    /// <summary>Makes a reader.</summary>
    /// <param name="ask">Asks the server.</param>
    /// <param name="size">The export's size in bytes.</param>
    /// <param name="alignment">Questions begin and end at multiples of it: the server's minimum block size, a power of two.</param>
    /// <param name="maxLength">No question is longer, in bytes; without extended headers at most 2^32 - 1.</param>
    public NbdExtentReader(NbdStatusQuestion ask, long size, long alignment = 1, long maxLength = long.MaxValue)
    {
        ArgumentNullException.ThrowIfNull(ask);
        ArgumentOutOfRangeException.ThrowIfNegative(size);
        ArgumentOutOfRangeException.ThrowIfLessThan(alignment, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxLength, alignment);
        this.ask = ask;
        this.alignment = alignment;
        this.maxLength = maxLength - (maxLength % alignment);
        Size = size;
    }

    /// <summary>The export's size in bytes.</summary>
    public long Size { get; }

    /// <summary>A reader of one connection's extents.</summary>
    /// <param name="client">The connection, with an export chosen and at least one metadata context selected.</param>
    public static NbdExtentReader Of(NbdClient client)
    {
        ArgumentNullException.ThrowIfNull(client);
        return new NbdExtentReader(
            async (offset, length, sink) =>
            {
                await client.BlockStatusAsync(offset, length, NbdCommandFlags.None, sink).ConfigureAwait(false);
                return client.Contexts;
            },
            client.Size,
            Math.Max(1, client.BlockSize?.Minimum ?? 1),
            client.HeaderStyle == NbdHeaderStyle.Extended ? long.MaxValue : CompactReach);
    }

    /// <summary>How many questions the server was asked.</summary>
    public long Questions { get; private set; }

    /// <summary>Counts the changes that the export's user makes, each of which makes worthless what is kept; or null.</summary>
    internal Func<int>? Changes { get; init; }

    /// <summary>Forgets what is known: the export has changed.</summary>
    public void Forget()
    {
        walked = 0;
        foreach (var (_, memory) in contexts)
        {
            memory.Clear();
        }
    }

    /// <summary>
    /// The extent that begins at an offset, as long as all contexts say the same, and as is known without a further question.
    /// To be asked in ascending order: at an offset below that of the call before, all that is known is forgotten.
    /// </summary>
    /// <param name="offset">First byte, inside of the export.</param>
    /// <param name="end">Where interest ends, above <paramref name="offset"/>; the extent is cut there.</param>
    /// <exception cref="BlockException">The server could not be asked, or gave no answer.</exception>
    public async ValueTask<NbdExtent> AtAsync(long offset, long end)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, Size);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(end, offset);
        end = Math.Min(end, Size);
        var now = Changes?.Invoke() ?? 0;
        if (offset < walked || now != changes)
        {
            Forget();
        }

        (walked, changes) = (offset, now);
        if (!IsKnown(offset))
        {
            await AskAsync(offset, end).ConfigureAwait(false);
        }

        var extent = Combine(offset, end);
        while (extent.End < end && IsKnown(extent.End))
        {
            var next = Combine(extent.End, end);
            if (!next.Continues(extent))
            {
                break;
            }

            extent = extent with { Length = extent.Length + next.Length };
        }

        return extent;
    }

    private bool IsKnown(long offset)
    {
        var isKnown = contexts.Count > 0;
        foreach (var (_, memory) in contexts)
        {
            isKnown &= memory.TryMove(offset);
        }

        return isKnown;
    }

    private async ValueTask AskAsync(long offset, long end)
    {
        var first = offset - (offset % alignment);
        var last = Math.Min(Size, end > long.MaxValue - alignment ? end : (end + alignment - 1) / alignment * alignment);
        Questions++;
        var answered = await ask(first, Math.Min(last - first, maxLength), sink).ConfigureAwait(false);
        if (!IsSame(answered))
        {
            // Another connection, whose server offers other contexts, or in another order.
            contexts.Clear();
            foreach (var context in answered)
            {
                contexts.Add((context.Name, new ContextMemory()));
            }
        }

        for (var i = 0; i < contexts.Count; i++)
        {
            contexts[i].Memory.Learn(first, sink.Of(i));
        }

        if (!IsKnown(offset))
        {
            throw new BlockException(ErrorCode.Io, $"The NBD server did not say what is at offset {offset}", offset: offset);
        }
    }

    private bool IsSame(IReadOnlyList<NbdMetaContext> answered)
    {
        if (answered.Count != contexts.Count)
        {
            return false;
        }

        for (var i = 0; i < answered.Count; i++)
        {
            if (answered[i].Name != contexts[i].Name)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>What all contexts say together; all of them know the offset.</summary>
    private NbdExtent Combine(long offset, long end)
    {
        var result = new NbdExtent(offset, 0, false, false, false, -1);
        var (bitmaps, joinedDepth, joinedDirty, hasJoint) = (0, -1, 0ul, false);
        foreach (var (name, memory) in contexts)
        {
            end = Math.Min(end, memory.End);
            var flags = memory.Flags;
            if (name.StartsWith(NbdContextNames.DirtyBitmapPrefix, StringComparison.Ordinal))
            {
                var bit = bitmaps < MaxBitmaps ? (flags & 1) << bitmaps : 0;
                bitmaps++;
                result = result with { Dirty = result.Dirty || (flags & 1) != 0, DirtyIn = result.DirtyIn | bit };
            }
            else if (name == NbdContextNames.AllocationDepth)
            {
                result = result with { Depth = (int)Math.Min(flags, int.MaxValue) };
            }
            else if (name is NbdContextNames.BaseAllocation or NbdContextNames.JointAllocation or NbdContextNames.Joint)
            {
                result = result with
                {
                    Hole = result.Hole || (flags & (uint)NbdAllocation.Hole) != 0,
                    Zero = result.Zero || (flags & (uint)NbdAllocation.Zero) != 0,
                };
                if (name != NbdContextNames.BaseAllocation)
                {
                    joinedDepth = (flags & (uint)NbdJoint.Local) != 0 ? 1 : (flags & (uint)NbdJoint.Backing) != 0 ? 2 : 0;
                }

                if (name == NbdContextNames.Joint)
                {
                    hasJoint = true;
                    joinedDirty = (flags >> NbdContextNames.JointFirstBitmap) & ((1ul << NbdContextNames.JointBitmaps) - 1);
                }
            }
        }

        if (hasJoint && bitmaps == 0)
        {
            result = result with { Dirty = joinedDirty != 0, DirtyIn = joinedDirty };
        }

        return result with { Length = end - offset, Depth = result.Depth < 0 ? joinedDepth : result.Depth };
    }
}
