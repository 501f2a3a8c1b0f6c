using System.Buffers;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Jobs;

/// <summary>
/// Reads an input of unknown length, and hands out what it has read. Who asks for a chunk reads it: so one worker reads while
/// the others write.
/// </summary>
/// <param name="input">What is read.</param>
/// <param name="target">Where it goes: bytes beyond the end of a target that does not grow are refused.</param>
/// <param name="bufferSize">Bytes of a chunk; the last one may be shorter.</param>
/// <param name="tally">Told of what is read.</param>
/// <param name="stop">Ends the wait for bytes.</param>
internal sealed class InputPlan(ISequentialInput input, BlockEdge target, int bufferSize, CopyTally tally, CancellationToken stop) : ICopyPlan
{
    private long sequence;
    private bool isOver;

    /// <inheritdoc/>
    public long Length { get; private set; }

    /// <inheritdoc/>
    public async ValueTask<CopyChunk?> NextAsync()
    {
        if (isOver)
        {
            return null;
        }

        var content = BufferPool.Rent(bufferSize);
        try
        {
            var filled = await FillAsync(content).ConfigureAwait(false);
            if (filled > 0)
            {
                var chunk = new CopyChunk(sequence++, new CopySegment(Length, filled, SegmentKind.Data), content);
                Length += filled;
                tally.Read(filled);
                return chunk;
            }
        }
        catch
        {
            content.Dispose();
            throw;
        }

        content.Dispose();
        return null;
    }

    private async ValueTask<int> FillAsync(IMemoryOwner<byte> content)
    {
        var filled = 0;
        while (filled < bufferSize && !isOver)
        {
            var n = await ReadAsync(content.Memory[filled..], Length + filled).ConfigureAwait(false);
            filled += n;
            isOver = n == 0;
        }

        if (Length + filled > target.Length && !target.Node.GrowsOnWrite)
        {
            throw new BlockException(
                ErrorCode.NoSpace, $"The target has {target.Length} bytes, and there is more to be copied.", target.Node.Name, target.Length);
        }

        return filled;
    }

    private async ValueTask<int> ReadAsync(Memory<byte> buffer, long offset)
    {
        try
        {
            return await input.ReadAsync(buffer, stop).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new BlockException(e.Code, $"error while reading at byte {offset}: {e.Message}", e.NodeName, e.Offset, e, e.Errno);
        }
    }
}
