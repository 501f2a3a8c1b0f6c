using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>Several images read as one, each behind the end of the one before.</summary>
internal sealed class CopySources
{
    private readonly BlockEdge[] edges;
    private readonly long[] starts; // one more than edges: the last is the length of all

    /// <summary>Takes the lengths as they are now.</summary>
    public CopySources(IReadOnlyList<BlockEdge> sources)
    {
        edges = [.. sources];
        starts = new long[edges.Length + 1];
        for (var i = 0; i < edges.Length; i++)
        {
            if (edges[i].Length > long.MaxValue - starts[i])
            {
                throw new BlockException(ErrorCode.TooLarge, "The images are too long to be joined.");
            }

            starts[i + 1] = starts[i] + edges[i].Length;
        }
    }

    /// <summary>A part of one image.</summary>
    /// <param name="source">The image.</param>
    /// <param name="skip">What is left out at its front, at least 0.</param>
    /// <param name="most">How much is taken at most, at least 0.</param>
    public CopySources(BlockEdge source, long skip, long most)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(skip);
        ArgumentOutOfRangeException.ThrowIfNegative(most);
        edges = [source];
        starts = [-skip, Math.Min(most, Math.Max(0, source.Length - skip))];
    }

    /// <summary>How many there are.</summary>
    public int Count => edges.Length;

    /// <summary>The length of all together.</summary>
    public long Length => starts[^1];

    /// <summary>The edge to one of them.</summary>
    public BlockEdge this[int index] => edges[index];

    /// <summary>Where one begins; below 0 where its front is left out.</summary>
    public long StartOf(int index) => starts[index];

    /// <summary>Where one ends.</summary>
    public long EndOf(int index) => starts[index + 1];

    /// <summary>Reads a range that lies in them; it may lie in several.</summary>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var i = Find(offset);
        return offset + buffer.Length <= starts[i + 1]
            ? edges[i].ReadAsync(offset - starts[i], buffer)
            : ReadSeveralAsync(i, offset, buffer);
    }

    private async ValueTask ReadSeveralAsync(int i, long offset, Memory<byte> buffer)
    {
        for (; !buffer.IsEmpty; i++)
        {
            var n = (int)Math.Min(buffer.Length, starts[i + 1] - offset);
            if (n > 0)
            {
                await edges[i].ReadAsync(offset - starts[i], buffer[..n]).ConfigureAwait(false);
                offset += n;
                buffer = buffer[n..];
            }
        }
    }

    private int Find(long offset)
    {
        if (edges.Length == 1)
        {
            return 0;
        }

        var i = Array.BinarySearch(starts, 0, edges.Length, offset);
        i = i >= 0 ? i : ~i - 1;
        while (starts[i + 1] == starts[i])
        {
            i++; // an empty image holds no byte
        }

        return i;
    }
}
