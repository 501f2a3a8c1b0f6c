namespace Byre.Formats.Qcow2.Manage;

/// <summary>Which clusters hold metadata, and where it overlaps. A byte a cluster, in pages that exist where something is.</summary>
internal sealed class MetadataMap(long clusters)
{
    private const int PageBits = 12;
    private const int PageSize = 1 << PageBits;

    private readonly byte[]?[] pages = new byte[(clusters >> PageBits) + 1][];

    /// <summary>What a cluster holds.</summary>
    public MetadataKind this[long cluster] =>
        (MetadataKind)((cluster >> PageBits) < pages.Length ? pages[cluster >> PageBits]?[cluster & (PageSize - 1)] ?? 0 : 0);

    /// <summary>Some of the clusters from one on are metadata of exactly this kind, none anything else.</summary>
    public bool IsOnly(MetadataKind kind, long first, long count)
    {
        for (var i = 0; i < count; i++)
        {
            if (this[first + i] != kind)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Clusters hold metadata.</summary>
    /// <param name="kind">Of which kind.</param>
    /// <param name="first">The first cluster.</param>
    /// <param name="count">How many follow one another.</param>
    /// <param name="isShared">Others may refer to it as the same kind.</param>
    /// <returns>The first cluster that holds something else as well, or -1.</returns>
    public long Mark(MetadataKind kind, long first, long count, bool isShared)
    {
        var overlap = -1L;
        for (var cluster = first; cluster < first + count; cluster++)
        {
            var page = pages[cluster >> PageBits] ??= new byte[PageSize];
            ref var value = ref page[cluster & (PageSize - 1)];
            if (value != 0 && (value != (byte)kind || !isShared))
            {
                overlap = overlap < 0 ? cluster : overlap;
                value |= (byte)MetadataKind.Overlap;
            }

            value |= (byte)kind;
        }

        return overlap;
    }

    /// <summary>Clusters hold guest data.</summary>
    /// <returns>The first that holds metadata as well, or -1.</returns>
    public long MarkData(long first, long count)
    {
        var overlap = -1L;
        while (count > 0)
        {
            var within = (int)(first & (PageSize - 1));
            var n = (int)Math.Min(count, PageSize - within);
            if (pages[first >> PageBits] is { } page)
            {
                var span = page.AsSpan(within, n);
                for (int at = 0, next; (next = span[at..].IndexOfAnyExcept((byte)0)) >= 0; at += next + 1)
                {
                    span[at + next] |= (byte)MetadataKind.Overlap;
                    overlap = overlap < 0 ? first + at + next : overlap;
                }
            }

            first += n;
            count -= n;
        }

        return overlap;
    }
}
