using System.Numerics;
using System.Runtime.InteropServices;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// How often each cluster of a file is referenced. A byte a cluster in pages that exist where something is counted, so it
/// takes at most a byte for each cluster of the file; the rare counts from 255 on are kept apart.
/// </summary>
internal sealed class ReferenceCounts
{
    /// <summary>Clusters in a page, as a power of two.</summary>
    public const int PageBits = 12;

    /// <summary>Clusters in a page.</summary>
    public const int PageSize = 1 << PageBits;

    private const byte Large = 255;

    private readonly byte[]?[] pages;
    private readonly Dictionary<long, long> large = [];

    /// <summary>Starts with all counts 0.</summary>
    /// <param name="clusters">How many clusters there are.</param>
    public ReferenceCounts(long clusters) => pages = new byte[(clusters >> PageBits) + 1][];

    /// <summary>The count of a cluster.</summary>
    public long this[long cluster]
    {
        get
        {
            var page = pages[cluster >> PageBits];
            var value = page is null ? (byte)0 : page[cluster & (PageSize - 1)];
            return value == Large ? large[cluster] : value;
        }
    }

    /// <summary>The counts of a page, 255 standing for 255 and more; empty where all are 0.</summary>
    public ReadOnlySpan<byte> Page(long index) => index < pages.Length ? pages[index] : default;

    /// <summary>Adds to the count of a cluster, up to a maximum.</summary>
    /// <returns>What does not fit below the maximum.</returns>
    public long Add(long cluster, long weight, long max)
    {
        ref var value = ref PageOf(cluster)[cluster & (PageSize - 1)];
        var old = value == Large ? large[cluster] : value;
        var room = max - old;
        var sum = weight > room ? max : old + weight;
        if (sum >= Large)
        {
            large[cluster] = sum;
            value = Large;
        }
        else
        {
            value = (byte)sum;
        }

        return Math.Max(0, weight - room);
    }

    /// <summary>Adds to the counts of clusters that follow one another, up to a maximum.</summary>
    /// <returns>The sum of what does not fit below the maximum.</returns>
    public long AddRun(long first, long count, long weight, long max)
    {
        long excess = 0;
        while (count > 0)
        {
            var within = (int)(first & (PageSize - 1));
            var n = (int)Math.Min(count, PageSize - within);
            var span = PageOf(first).AsSpan(within, n);
            var limit = Math.Min(max, Large - 1) - weight;
            if (limit >= 0 && !span.ContainsAnyExceptInRange((byte)0, (byte)limit))
            {
                AddToAll(span, (byte)weight);
            }
            else
            {
                for (var i = 0; i < n; i++)
                {
                    excess += Add(first + i, weight, max);
                }
            }

            first += n;
            count -= n;
        }

        return excess;
    }

    private static void AddToAll(Span<byte> span, byte weight)
    {
        var vectors = MemoryMarshal.Cast<byte, Vector<byte>>(span);
        var add = new Vector<byte>(weight);
        foreach (ref var vector in vectors)
        {
            vector += add;
        }

        foreach (ref var value in span[(vectors.Length * Vector<byte>.Count)..])
        {
            value += weight;
        }
    }

    private byte[] PageOf(long cluster) => pages[cluster >> PageBits] ??= new byte[PageSize];
}
