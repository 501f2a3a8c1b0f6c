namespace Byre.Nodes;

/// <summary>
/// A question about a range and the growing answer to it. The node appends extents in order, without a gap, from
/// <see cref="Offset"/> on; neighbours that continue each other are joined. It appends at least one extent, stops when
/// <see cref="IsFull"/>, and may stop early: a caller goes on from <see cref="End"/>. Reused by its owner; not shared.
/// </summary>
public sealed class ExtentList
{
    private BlockExtent[] items = new BlockExtent[16];
    private bool limitPassed;
    private long end;
    private long rangeEnd;

    /// <summary>First byte asked about.</summary>
    public long Offset { get; private set; }

    /// <summary>Bytes asked about, at least 1.</summary>
    public long Length { get; private set; }

    /// <summary>The most extents wanted.</summary>
    public int Limit { get; private set; } = int.MaxValue;

    /// <summary>How many extents there are.</summary>
    public int Count { get; private set; }

    /// <summary>Where the answer ends: the end of the last extent, or <see cref="Offset"/>.</summary>
    public long End => end;

    /// <summary>The first byte after the range asked about.</summary>
    public long RangeEnd => rangeEnd;

    /// <summary>The whole range is answered.</summary>
    public bool IsComplete => end >= rangeEnd;

    /// <summary>
    /// Nothing more is wanted: the range is answered, or an extent came that was one too many. (At the limit the last
    /// extent may still grow.) What is added to a full list is left out.
    /// </summary>
    public bool IsFull => limitPassed || IsComplete;

    /// <summary>The answer.</summary>
    public ReadOnlySpan<BlockExtent> Items => items.AsSpan(0, Count);

    /// <summary>Asks anew; what was answered is forgotten.</summary>
    /// <param name="offset">First byte, at least 0.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="limit">The most extents wanted, at least 1.</param>
    public void Reset(long offset, long length, int limit = int.MaxValue)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        Offset = offset;
        Length = length;
        Limit = limit;
        Count = 0;
        limitPassed = false;
        (end, rangeEnd) = (offset, offset + length);
    }

    /// <summary>Appends an extent that begins at <see cref="End"/>; what reaches past the range is cut off.</summary>
    public void Add(in BlockExtent extent)
    {
        if (IsFull)
        {
            return;
        }

        if (extent.Start != end || extent.Length < 1)
        {
            throw new ArgumentException("An extent must begin where the last one ended and lie in the range.", nameof(extent));
        }

        var length = Math.Min(extent.Length, rangeEnd - end);
        var count = Count;
        if (count > 0 && extent.Continues(items[count - 1]))
        {
            items[count - 1].Grow(length);
        }
        else if (count == Limit)
        {
            limitPassed = true;
            return;
        }
        else
        {
            if (count == items.Length)
            {
                Array.Resize(ref items, count * 2);
            }

            items[count].Become(extent, length);
            Count = count + 1;
        }

        end += length;
    }

    /// <summary>What is absent is so in the whole chain: its extents get the depth 0.</summary>
    internal void SetAbsentInChain()
    {
        foreach (ref var item in items.AsSpan(0, Count))
        {
            item.DecideAbsent();
        }
    }
}
