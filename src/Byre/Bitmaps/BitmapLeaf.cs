using System.Numerics;

namespace Byre.Bitmaps;

/// <summary>One stretch of a <see cref="HierarchicalBitmap"/>: its bits, and in which words there are set and clear ones.</summary>
internal sealed class BitmapLeaf
{
    /// <summary>log2 of <see cref="Bits"/>.</summary>
    public const int Shift = 18;

    /// <summary>Bits of a leaf.</summary>
    public const int Bits = 1 << Shift;

    private readonly ulong[] words;
    private readonly BitLevels some; // words with a set bit
    private readonly BitLevels open; // words with a clear bit
    private readonly int length;

    /// <summary>A leaf all of whose bits are alike.</summary>
    /// <param name="length">How many bits count; those behind are always clear.</param>
    /// <param name="isSet">They are set.</param>
    public BitmapLeaf(int length, bool isSet)
    {
        this.length = length;
        words = new ulong[(length + 63) >> 6];
        some = new BitLevels(words.Length);
        open = new BitLevels(words.Length);
        for (var i = 0; i < words.Length; i++)
        {
            words[i] = isSet ? ValidOf(i) : 0;
            (isSet ? some : open).Set(i, true);
        }

        Count = isSet ? length : 0;
    }

    /// <summary>How many bits are set.</summary>
    public int Count { get; private set; }

    /// <summary>The words, of which the first has the first bits.</summary>
    public ReadOnlySpan<ulong> Words => words;

    /// <summary>A bit is set.</summary>
    public bool this[int bit] => (words[bit >> 6] & (1UL << bit)) != 0;

    /// <summary>Sets or clears bits from <paramref name="from"/> up to <paramref name="to"/>.</summary>
    public void Fill(int from, int to, bool isSet)
    {
        for (var at = from; at < to;)
        {
            var index = at >> 6;
            var stop = Math.Min(to, (index + 1) << 6);
            var mask = Mask(at & 63, stop - at);
            Put(index, isSet ? words[index] | mask : words[index] & ~mask);
            at = stop;
        }
    }

    private void Put(int index, ulong value)
    {
        ref var word = ref words[index];
        var valid = ValidOf(index);
        var before = word;
        value &= valid;
        if (before == value)
        {
            return;
        }

        word = value;
        Count += BitOperations.PopCount(value) - BitOperations.PopCount(before);
        if (before == 0 || value == 0)
        {
            some.Set(index, value != 0);
        }

        if (before == valid || value == valid)
        {
            open.Set(index, value != valid);
        }
    }

    /// <summary>Sets all bits that are set in some words.</summary>
    /// <param name="first">The first of the words to change.</param>
    /// <param name="values">What is added to them; bits that do not count are left out.</param>
    public void Add(int first, ReadOnlySpan<ulong> values)
    {
        var own = words.AsSpan(first, values.Length);
        for (var i = 0; i < own.Length; i++)
        {
            own[i] |= values[i];
        }

        Recount();
    }

    /// <summary>Replaces words.</summary>
    /// <param name="first">The first of the words to change.</param>
    /// <param name="values">What they become; bits that do not count are left out.</param>
    public void Replace(int first, ReadOnlySpan<ulong> values)
    {
        values.CopyTo(words.AsSpan(first));
        Recount();
    }

    /// <summary>The first bit at or after one that is set, or that is clear; -1 where there is none.</summary>
    public int Next(int from, bool isSet)
    {
        for (var index = from >> 6; index < words.Length;)
        {
            var word = isSet ? words[index] : ~words[index] & ValidOf(index);
            word &= from >> 6 == index ? ulong.MaxValue << from : ulong.MaxValue;
            if (word != 0)
            {
                return (index << 6) | BitOperations.TrailingZeroCount(word);
            }

            index = (isSet ? some : open).Next(index + 1);
            if (index < 0)
            {
                break;
            }
        }

        return -1;
    }

    /// <summary>After a change of many words.</summary>
    private void Recount()
    {
        words[^1] &= ValidOf(words.Length - 1);
        var count = 0;
        var set = some.Members;
        var clear = open.Members;
        for (var group = 0; group < set.Length; group++)
        {
            var (hasSet, hasClear) = (0UL, 0UL);
            var end = Math.Min(words.Length, (group + 1) << 6);
            for (var i = group << 6; i < end; i++)
            {
                var word = words[i];
                count += BitOperations.PopCount(word);
                hasSet |= word != 0 ? 1UL << i : 0;
                hasClear |= word != ulong.MaxValue ? 1UL << i : 0;
            }

            (set[group], clear[group]) = (hasSet, hasClear);
        }

        var last = words.Length - 1;
        if (words[last] == ValidOf(last))
        {
            clear[last >> 6] &= ~(1UL << last);
        }

        some.Rebuild();
        open.Rebuild();
        Count = count;
    }

    private static ulong Mask(int start, int count) => (count == 64 ? ulong.MaxValue : (1UL << count) - 1) << start;

    private ulong ValidOf(int index) => Mask(0, Math.Min(64, length - (index << 6)));
}
