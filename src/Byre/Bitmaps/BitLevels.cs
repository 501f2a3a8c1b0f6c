using System.Numerics;

namespace Byre.Bitmaps;

/// <summary>
/// A set of small numbers in levels of 64-bit words: a bit of one level says whether the word below it has any bit. The next
/// member is found by looking at one word a level on the way up, and one on the way down.
/// </summary>
internal sealed class BitLevels
{
    private const int WordBits = 6;

    private readonly ulong[][] levels;

    /// <summary>An empty set of numbers from 0 to <paramref name="count"/> - 1.</summary>
    public BitLevels(int count)
    {
        var sizes = new List<ulong[]>();
        do
        {
            count = (count + 63) >> WordBits;
            sizes.Add(new ulong[Math.Max(1, count)]);
        }
        while (count > 1);

        levels = [.. sizes];
    }

    /// <summary>A number becomes a member, or is none any more.</summary>
    public void Set(int index, bool isMember)
    {
        if (isMember)
        {
            foreach (var level in levels)
            {
                ref var word = ref level[index >> WordBits];
                var before = word;
                word |= 1UL << index;
                if (before != 0)
                {
                    return;
                }

                index >>= WordBits;
            }
        }
        else
        {
            foreach (var level in levels)
            {
                ref var word = ref level[index >> WordBits];
                word &= ~(1UL << index);
                if (word != 0)
                {
                    return;
                }

                index >>= WordBits;
            }
        }
    }

    /// <summary>The members as bits, the lowest of the first word being 0. Whoever changes them calls <see cref="Rebuild"/>.</summary>
    public Span<ulong> Members => levels[0];

    /// <summary>Makes the upper levels agree with <see cref="Members"/>.</summary>
    public void Rebuild()
    {
        for (var height = 1; height < levels.Length; height++)
        {
            var below = levels[height - 1];
            var level = levels[height];
            level.AsSpan().Clear();
            for (var i = 0; i < below.Length; i++)
            {
                level[i >> WordBits] |= below[i] != 0 ? 1UL << i : 0;
            }
        }
    }

    /// <summary>The first member at or after a number, or -1.</summary>
    public int Next(int from)
    {
        for (var height = 0; height < levels.Length; height++)
        {
            var level = levels[height];
            var at = from >> WordBits;
            if (at >= level.Length)
            {
                return -1;
            }

            var word = level[at] & (ulong.MaxValue << from);
            if (word != 0)
            {
                var found = (at << WordBits) | BitOperations.TrailingZeroCount(word);
                while (height-- > 0)
                {
                    found = (found << WordBits) | BitOperations.TrailingZeroCount(levels[height][found]);
                }

                return found;
            }

            from = at + 1;
        }

        return -1;
    }
}
