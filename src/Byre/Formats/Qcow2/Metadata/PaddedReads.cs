using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>Reads of a file that may end before the range does: what it lacks reads as zeroes.</summary>
internal static class PaddedReads
{
    /// <summary>Fills the whole buffer.</summary>
    public static ValueTask ReadAsync(BlockEdge edge, long offset, Memory<byte> buffer)
    {
        var there = edge.Length - offset;
        if (there >= buffer.Length)
        {
            return edge.ReadAsync(offset, buffer);
        }

        var n = (int)Math.Max(0, there);
        buffer.Span[n..].Clear();
        return n == 0 ? default : edge.ReadAsync(offset, buffer[..n]);
    }
}
