using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Byre.Bitmaps;

/// <summary>
/// Bits in levels of 64-bit words, so that the next set or clear one is found in a few steps however far it is. Stretches of
/// 2^18 bits that are all clear or all set take no memory but a reference; others take 33 KiB. Not safe for several threads.
/// </summary>
public sealed class HierarchicalBitmap
{
    /// <summary>The most bits: 2^40.</summary>
    public const long MaxLength = 1L << 40;

    private BitmapLeaf?[] leaves; // null: all clear; allSet: all set
    private BitLevels some; // leaves with a set bit
    private BitLevels open; // leaves with a clear bit
    private BitmapLeaf allSet = new(0, isSet: true);

    /// <summary>Bits that are all clear.</summary>
    /// <param name="length">How many, 0 to <see cref="MaxLength"/>.</param>
    public HierarchicalBitmap(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, MaxLength);
        Length = length;
        leaves = new BitmapLeaf?[(length + BitmapLeaf.Bits - 1) >> BitmapLeaf.Shift];
        some = new BitLevels(leaves.Length);
        open = new BitLevels(leaves.Length);
        for (var i = 0; i < leaves.Length; i++)
        {
            open.Set(i, true);
        }
    }

    /// <summary>How many bits there are.</summary>
    public long Length { get; private set; }

    /// <summary>How many bits are set.</summary>
    public long Count { get; private set; }

    /// <summary>How many stretches have memory of their own.</summary>
    internal int AllocatedLeaves => leaves.Count(leaf => leaf is not null && !ReferenceEquals(leaf, allSet));

    /// <summary>A bit is set.</summary>
    /// <param name="bit">Which, 0 to <see cref="Length"/> - 1.</param>
    public bool this[long bit]
    {
        get
        {
            CheckRange(bit, 1);
            var leaf = leaves[bit >> BitmapLeaf.Shift];
            return leaf is not null && (ReferenceEquals(leaf, allSet) || leaf[(int)bit & (BitmapLeaf.Bits - 1)]);
        }
    }

    /// <summary>Sets bits.</summary>
    /// <param name="start">The first.</param>
    /// <param name="count">How many; all of them exist.</param>
    public void Set(long start, long count) => Fill(start, count, isSet: true);

    /// <summary>Clears bits.</summary>
    /// <param name="start">The first.</param>
    /// <param name="count">How many; all of them exist.</param>
    public void Clear(long start, long count) => Fill(start, count, isSet: false);

    /// <summary>The first set bit in a range.</summary>
    /// <param name="from">Where the range begins, 0 to <see cref="Length"/>.</param>
    /// <param name="end">Where it ends; by default behind the last bit.</param>
    /// <returns>The bit, or -1.</returns>
    public long NextSet(long from, long end = long.MaxValue) => Next(from, end, isSet: true);

    /// <summary>The first clear bit in a range.</summary>
    /// <param name="from">Where the range begins, 0 to <see cref="Length"/>.</param>
    /// <param name="end">Where it ends; by default behind the last bit.</param>
    /// <returns>The bit, or -1.</returns>
    public long NextClear(long from, long end = long.MaxValue) => Next(from, end, isSet: false);

    /// <summary>The first run of set bits in a range.</summary>
    /// <param name="from">Where the range begins, 0 to <see cref="Length"/>.</param>
    /// <param name="end">Where it ends.</param>
    /// <param name="start">The run's first bit.</param>
    /// <param name="count">Its bits inside the range.</param>
    /// <returns>False where no bit of the range is set.</returns>
    public bool TryNextArea(long from, long end, out long start, out long count)
    {
        start = NextSet(from, end);
        if (start < 0)
        {
            (start, count) = (0, 0);
            return false;
        }

        var stop = NextClear(start, end);
        count = (stop < 0 ? Math.Min(end, Length) : stop) - start;
        return true;
    }

    /// <summary>Sets all bits that are set in another bitmap.</summary>
    /// <param name="other">Of the same length.</param>
    /// <exception cref="ArgumentException">It has another length.</exception>
    public void Merge(HierarchicalBitmap other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (other.Length != Length)
        {
            throw new ArgumentException("The bitmaps have different lengths.", nameof(other));
        }

        for (var i = other.some.Next(0); i >= 0; i = other.some.Next(i + 1))
        {
            var leaf = other.leaves[i]!;
            if (ReferenceEquals(leaf, other.allSet))
            {
                Fill((long)i << BitmapLeaf.Shift, LeafLength(i), isSet: true);
            }
            else if (!ReferenceEquals(leaves[i], allSet))
            {
                var own = Own(i);
                var before = own.Count;
                own.Add(0, leaf.Words);
                Settle(i, own, before);
            }
        }
    }

    /// <summary>Changes the length: bits behind a lower one are gone, those that come are clear.</summary>
    /// <param name="length">The new length, 0 to <see cref="MaxLength"/>.</param>
    public void Resize(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, MaxLength);
        if (length == Length)
        {
            return;
        }

        var resized = new HierarchicalBitmap(length);
        for (var i = 0; i < Math.Min(leaves.Length, resized.leaves.Length); i++)
        {
            resized.TakeLeaf(i, leaves[i], isAllSet: ReferenceEquals(leaves[i], allSet), LeafLength(i));
        }

        (leaves, some, open, allSet) = (resized.leaves, resized.some, resized.open, resized.allSet);
        (Length, Count) = (length, resized.Count);
    }

    /// <summary>Copies bits out: the lowest bit of the first byte is the first one.</summary>
    /// <param name="start">The first bit, a multiple of 64.</param>
    /// <param name="bytes">A multiple of 8 bytes; filled, with zeroes for bits that do not exist.</param>
    public void CopyTo(long start, Span<byte> bytes)
    {
        CheckWords(start, bytes.Length);
        for (var at = 0; at < bytes.Length;)
        {
            var index = start >> BitmapLeaf.Shift;
            var word = (int)(start & (BitmapLeaf.Bits - 1)) >> 6;
            var n = Math.Min((bytes.Length - at) >> 3, (BitmapLeaf.Bits >> 6) - word);
            var piece = MemoryMarshal.Cast<byte, ulong>(bytes.Slice(at, n << 3));
            piece.Clear();
            if (index < leaves.Length && leaves[index] is { } leaf)
            {
                if (ReferenceEquals(leaf, allSet))
                {
                    var bits = Math.Clamp(Length - start, 0, (long)n << 6);
                    piece[..(int)(bits >> 6)].Fill(ulong.MaxValue);
                    if ((bits & 63) != 0)
                    {
                        piece[(int)(bits >> 6)] = (1UL << (int)(bits & 63)) - 1;
                    }
                }
                else
                {
                    var words = leaf.Words[Math.Min(word, leaf.Words.Length)..];
                    words[..Math.Min(n, words.Length)].CopyTo(piece);
                }

                if (!BitConverter.IsLittleEndian)
                {
                    BinaryPrimitives.ReverseEndianness(piece, piece);
                }
            }

            at += n << 3;
            start += (long)n << 6;
        }
    }

    /// <summary>Replaces bits: the lowest bit of the first byte is the first one. Bits that do not exist are left out.</summary>
    /// <param name="start">The first bit, a multiple of 64.</param>
    /// <param name="bytes">A multiple of 8 bytes.</param>
    public void CopyFrom(long start, ReadOnlySpan<byte> bytes) => TakeWords(start, bytes, isAdded: false);

    /// <summary>Sets the bits that are set in some bytes: the lowest bit of the first byte is the first one. Bits that do not exist are left out.</summary>
    /// <param name="start">The first bit, a multiple of 64.</param>
    /// <param name="bytes">A multiple of 8 bytes.</param>
    public void MergeFrom(long start, ReadOnlySpan<byte> bytes) => TakeWords(start, bytes, isAdded: true);

    private void TakeWords(long start, ReadOnlySpan<byte> bytes, bool isAdded)
    {
        CheckWords(start, bytes.Length);
        var source = MemoryMarshal.Cast<byte, ulong>(bytes);
        if (!BitConverter.IsLittleEndian)
        {
            var turned = new ulong[source.Length];
            BinaryPrimitives.ReverseEndianness(source, turned);
            source = turned;
        }

        for (var at = 0; at < source.Length && start < Length;)
        {
            var index = (int)(start >> BitmapLeaf.Shift);
            var word = (int)(start & (BitmapLeaf.Bits - 1)) >> 6;
            var n = Math.Min(source.Length - at, ((LeafLength(index) + 63) >> 6) - word);
            var piece = source.Slice(at, n);
            var isSame = isAdded
                ? ReferenceEquals(leaves[index], allSet) || !piece.ContainsAnyExcept(0UL)
                : leaves[index] is null && !piece.ContainsAnyExcept(0UL);
            if (!isSame)
            {
                var leaf = Own(index);
                var before = leaf.Count;
                if (isAdded)
                {
                    leaf.Add(word, piece);
                }
                else
                {
                    leaf.Replace(word, piece);
                }

                Settle(index, leaf, before);
            }

            at += n;
            start += (long)n << 6;
        }
    }

    private void TakeLeaf(int index, BitmapLeaf? leaf, bool isAllSet, int oldLength)
    {
        if (leaf is null)
        {
            return;
        }

        var length = LeafLength(index);
        if (isAllSet)
        {
            Fill((long)index << BitmapLeaf.Shift, Math.Min(length, oldLength), isSet: true);
        }
        else if (length == oldLength)
        {
            Settle(index, leaf, 0);
        }
        else
        {
            var own = Own(index);
            own.Replace(0, leaf.Words[..Math.Min(leaf.Words.Length, (length + 63) >> 6)]);
            Settle(index, own, 0);
        }
    }

    private void Fill(long start, long count, bool isSet)
    {
        CheckRange(start, count);
        for (var end = start + count; start < end;)
        {
            var index = (int)(start >> BitmapLeaf.Shift);
            var from = (int)(start & (BitmapLeaf.Bits - 1));
            var length = LeafLength(index);
            var to = (int)Math.Min(length, from + (end - start));
            var whole = isSet ? allSet : null;
            if (!ReferenceEquals(leaves[index], whole))
            {
                if (from == 0 && to == length)
                {
                    Count += (isSet ? length : 0) - CountOf(index);
                    Put(index, whole);
                }
                else
                {
                    var leaf = Own(index);
                    var before = leaf.Count;
                    leaf.Fill(from, to, isSet);
                    Settle(index, leaf, before);
                }
            }

            start += to - from;
        }
    }

    private long Next(long from, long end, bool isSet)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(from);
        end = Math.Min(end, Length);
        if (from >= end)
        {
            return -1;
        }

        var index = (int)(from >> BitmapLeaf.Shift);
        var at = from;
        while (true)
        {
            var leaf = leaves[index];
            var found = leaf is null ? (isSet ? -1 : (int)(at & (BitmapLeaf.Bits - 1)))
                : ReferenceEquals(leaf, allSet) ? (isSet ? (int)(at & (BitmapLeaf.Bits - 1)) : -1)
                : leaf.Next((int)(at & (BitmapLeaf.Bits - 1)), isSet);
            if (found >= 0)
            {
                var bit = ((long)index << BitmapLeaf.Shift) + found;
                return bit < end ? bit : -1;
            }

            index = (isSet ? some : open).Next(index + 1);
            at = (long)index << BitmapLeaf.Shift;
            if (index < 0 || at >= end)
            {
                return -1;
            }
        }
    }

    private int LeafLength(int index) => (int)Math.Min(BitmapLeaf.Bits, Length - ((long)index << BitmapLeaf.Shift));

    private int CountOf(int index) => leaves[index] is not { } leaf ? 0 : ReferenceEquals(leaf, allSet) ? LeafLength(index) : leaf.Count;

    /// <summary>A leaf with memory of its own.</summary>
    private BitmapLeaf Own(int index)
    {
        var leaf = leaves[index];
        if (leaf is null || ReferenceEquals(leaf, allSet))
        {
            leaves[index] = leaf = new BitmapLeaf(LeafLength(index), isSet: leaf is not null);
        }

        return leaf;
    }

    /// <summary>After a change: one that is all clear or all set gives its memory back.</summary>
    private void Settle(int index, BitmapLeaf leaf, int before)
    {
        Count += leaf.Count - before;
        Put(index, leaf.Count == 0 ? null : leaf.Count == LeafLength(index) ? allSet : leaf);
    }

    private void Put(int index, BitmapLeaf? leaf)
    {
        leaves[index] = leaf;
        some.Set(index, leaf is not null);
        open.Set(index, !ReferenceEquals(leaf, allSet));
    }

    private void CheckRange(long start, long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(start);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, Length - start);
    }

    private static void CheckWords(long start, int bytes)
    {
        if (start < 0 || (start & 63) != 0 || (bytes & 7) != 0)
        {
            throw new ArgumentException("Bits are copied in words of 64.", nameof(start));
        }
    }
}
