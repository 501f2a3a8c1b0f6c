using System.Buffers;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Jobs;

/// <summary>Copies chunks. Each thread has one, with a buffer of its own.</summary>
internal sealed class CopyWorker(CopyJobState job) : IDisposable
{
    private readonly CopyJobState job = job;
    private IMemoryOwner<byte>? buffer;

    /// <inheritdoc/>
    public void Dispose() => buffer?.Dispose();

    /// <summary>Copies a chunk.</summary>
    public async ValueTask CopyAsync(CopyChunk chunk)
    {
        var segment = chunk.Segment;
        if (segment.Kind == SegmentKind.Zero)
        {
            await ZeroAsync(chunk).ConfigureAwait(false);
            return;
        }

        if (segment.HostNode is null)
        {
            job.Rate?.Wait(segment.Length, job.Stop);
            await CopyBytesAsync(chunk.Sequence, segment, inTurn: true).ConfigureAwait(false);
            job.Tally.Finish(segment.Length);
            return;
        }

        job.Rate?.Wait(segment.Length, job.Stop);
        job.Order.Await(chunk.Sequence);
        var done = await CopyInKernelAsync(segment).ConfigureAwait(false);
        job.Tally.Finish(done);
        for (var at = segment.Start + done; at < segment.End;)
        {
            job.Stop.ThrowIfCancellationRequested();
            var piece = segment.Slice(at, Math.Min(segment.End, at + job.BufferSize));
            await CopyBytesAsync(chunk.Sequence, piece, inTurn: false).ConfigureAwait(false);
            job.Tally.Finish(piece.Length);
            at = piece.End;
        }
    }

    private async ValueTask ZeroAsync(CopyChunk chunk)
    {
        var segment = chunk.Segment;
        job.Order.Await(chunk.Sequence);
        if (!job.FillsZeroes)
        {
            await WriteZeroesAsync(segment.Start, segment.Length).ConfigureAwait(false);
            return;
        }

        var memory = Buffer((int)segment.Length);
        memory.Span.Clear();
        await WriteAsync(segment.Start, memory).ConfigureAwait(false);
    }

    private async ValueTask<long> CopyInKernelAsync(CopySegment segment)
    {
        try
        {
            var done = await job.Kernel.CopyAsync(segment).ConfigureAwait(false);
            job.Tally.KernelCopy(done);
            return done;
        }
        catch (BlockException e)
        {
            throw WriteFailure(segment.Start, e);
        }
    }

    private async ValueTask CopyBytesAsync(long sequence, CopySegment segment, bool inTurn)
    {
        var memory = Buffer((int)segment.Length);
        await ReadAsync(segment.Start, memory).ConfigureAwait(false);
        if (inTurn)
        {
            job.Order.Await(sequence);
        }

        if (job.Grain == 0)
        {
            await WriteAsync(segment.Start, memory).ConfigureAwait(false);
            return;
        }

        var dataStart = -1;
        for (var at = 0; at < memory.Length;)
        {
            var end = SparseScanner.FindRunEnd(memory.Span, at, segment.Start, job.Grain, out var isZero);
            if (isZero && IsWorthLeavingOut(segment.Start + at, end - at))
            {
                if (dataStart >= 0)
                {
                    await WriteAsync(segment.Start + dataStart, memory[dataStart..at]).ConfigureAwait(false);
                    dataStart = -1;
                }

                await LeaveZeroAsync(segment.Start + at, end - at).ConfigureAwait(false);
            }
            else if (dataStart < 0)
            {
                dataStart = at;
            }

            at = end;
        }

        if (dataStart >= 0)
        {
            await WriteAsync(segment.Start + dataStart, memory[dataStart..]).ConfigureAwait(false);
        }
    }

    private bool IsWorthLeavingOut(long offset, int length) => offset >= job.ZeroFrom || length >= job.ShortestZero;

    private async ValueTask LeaveZeroAsync(long offset, int length)
    {
        if (offset >= job.ZeroFrom)
        {
            job.Tally.Skip(length);
        }
        else
        {
            await WriteZeroesAsync(offset, length).ConfigureAwait(false);
        }
    }

    private async ValueTask ReadAsync(long offset, Memory<byte> memory)
    {
        try
        {
            await job.Sources.ReadAsync(offset, memory).ConfigureAwait(false);
        }
        catch (BlockException) when (job.Salvage is not null)
        {
            await job.Salvage.ReadAsync(offset, memory).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new BlockException(e.Code, $"error while reading at byte {offset}: {e.Message}", e.NodeName, e.Offset, e, e.Errno);
        }

        job.Tally.Read(memory.Length);
    }

    private async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data)
    {
        try
        {
            await job.Target.WriteAsync(offset, data, job.WriteFlags).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw WriteFailure(offset, e);
        }

        job.Tally.Write(data.Length);
    }

    private async ValueTask WriteZeroesAsync(long offset, long length)
    {
        try
        {
            await job.Target.WriteZeroesAsync(offset, length, WriteFlags.MayUnmap | (job.WriteFlags & WriteFlags.Fua)).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw WriteFailure(offset, e);
        }

        job.Tally.Zero(length);
    }

    private static BlockException WriteFailure(long offset, BlockException e) =>
        new(e.Code, $"error while writing at byte {offset}: {e.Message}", e.NodeName, e.Offset, e, e.Errno);

    private Memory<byte> Buffer(int length) => (buffer ??= BufferPool.Rent(job.BufferSize)).Memory[..length];
}
