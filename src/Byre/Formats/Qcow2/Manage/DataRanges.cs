using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Ranges of guest data in a file, of which it is asked whether they are all zeroes.</summary>
internal sealed class DataRanges
{
    private const int MaxRanges = 1 << 20;
    private const int ChunkBytes = 1 << 20;

    private readonly List<(long Offset, long Length)> ranges = [];

    /// <summary>Compressed clusters, which are taken for data.</summary>
    public long Compressed { get; private set; }

    /// <summary>There are more ranges than are kept.</summary>
    public bool IsIncomplete { get; private set; }

    /// <summary>Adds a range; one that follows the last is joined with it.</summary>
    public void Add(long offset, long length)
    {
        if (ranges.Count > 0 && ranges[^1] is var last && last.Offset + last.Length == offset)
        {
            ranges[^1] = (last.Offset, last.Length + length);
        }
        else if (ranges.Count < MaxRanges)
        {
            ranges.Add((offset, length));
        }
        else
        {
            IsIncomplete = true;
        }
    }

    /// <summary>Counts compressed clusters.</summary>
    public void AddCompressed(long count) => Compressed += count;

    /// <summary>Looks for a byte that is not zero; holes of the file are not read.</summary>
    /// <returns>Where in the file it is, or -1.</returns>
    /// <exception cref="BlockException">The file cannot be read.</exception>
    public async ValueTask<long> FindDataAsync(BlockEdge file)
    {
        var buffer = new byte[ChunkBytes];
        var extents = new ExtentList();
        ranges.Sort();
        var at = 0L;
        foreach (var (offset, length) in ranges)
        {
            // What is named twice is read once.
            at = Math.Max(at, offset);
            for (var end = Math.Min(offset + length, file.Length); at < end;)
            {
                extents.Reset(at, end - at, 1);
                await file.GetExtentsAsync(extents, ExtentPrecision.Layer).ConfigureAwait(false);
                var extent = extents.Count == 0 ? default : extents.Items[0];
                var run = extents.Count == 0 ? end - at : extent.Length;
                if (extents.Count != 0 && extent.ReadsAsZero)
                {
                    at += run;
                    continue;
                }

                var piece = buffer.AsMemory(0, (int)Math.Min(run, buffer.Length));
                await file.ReadAsync(at, piece).ConfigureAwait(false);
                var found = piece.Span.IndexOfAnyExcept((byte)0);
                if (found >= 0)
                {
                    return at + found;
                }

                at += piece.Length;
            }
        }

        return -1;
    }
}
