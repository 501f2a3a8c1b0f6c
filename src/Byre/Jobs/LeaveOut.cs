using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>What a copy leaves out because another image has the same there. Several workers use it at the same time.</summary>
/// <param name="against">The other image, which reads as zeroes past its end; null for one that is all zero.</param>
/// <param name="keepsZeroes">Zeroes are left to be made without data; else they are data.</param>
/// <param name="grain">What is compared and written at a time, in bytes: a power of two.</param>
internal sealed class LeaveOut(BlockEdge? against, bool keepsZeroes, int grain)
{
    /// <summary>The other image.</summary>
    public BlockEdge? Against => against;

    /// <summary>Reads what the other image has.</summary>
    /// <exception cref="BlockException">It cannot be read; the message says where.</exception>
    public async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var there = against is null ? 0 : (int)Math.Clamp(against.Length - offset, 0, buffer.Length);
        buffer.Span[there..].Clear();
        if (there == 0)
        {
            return;
        }

        try
        {
            await against!.ReadAsync(offset, buffer[..there]).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new BlockException(e.Code, $"error while reading the new backing file at byte {offset}: {e.Message}", e.NodeName, e.Offset, e, e.Errno);
        }
    }

    /// <summary>Cuts what was read into runs of what is the same, what is zero and what is neither.</summary>
    /// <returns>The index of the last run of data, or -1.</returns>
    public int FindRuns(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> other, long offset, List<(int Start, int End, RunKind Kind)> runs)
    {
        var lastData = -1;
        for (var at = 0; at < bytes.Length;)
        {
            var end = (int)Math.Min(bytes.Length, at + grain - ((offset + at) & (grain - 1)));
            var kind = bytes[at..end].SequenceEqual(other[at..end]) ? RunKind.Same
                : keepsZeroes && SparseScanner.IsZero(bytes[at..end]) ? RunKind.Zero
                : RunKind.Data;
            if (runs.Count > 0 && runs[^1].Kind == kind)
            {
                runs[^1] = (runs[^1].Start, end, kind);
            }
            else
            {
                runs.Add((at, end, kind));
            }

            lastData = kind == RunKind.Data ? runs.Count - 1 : lastData;
            at = end;
        }

        return lastData;
    }
}
