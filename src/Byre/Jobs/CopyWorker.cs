using System.Buffers;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Jobs;

/// <summary>Copies chunks. Each thread has one, with a buffer of its own.</summary>
internal sealed class CopyWorker(CopyJobState job) : IDisposable
{
    private readonly List<(int Start, int End, RunKind Kind)> runs = [];
    private readonly List<(long Offset, BlockException Failure)> lost = [];
    private IMemoryOwner<byte>? buffer;
    private IMemoryOwner<byte>? other;

    /// <inheritdoc/>
    public void Dispose()
    {
        buffer?.Dispose();
        other?.Dispose();
    }

    /// <summary>Copies a chunk.</summary>
    public async ValueTask CopyAsync(CopyChunk chunk)
    {
        var segment = chunk.Segment;
        if (chunk.Content is { } content)
        {
            using (content)
            {
                job.Rate?.Wait(segment.Length, job.Stop);
                await WriteRunsAsync(chunk.Sequence, segment, content.Memory[..(int)segment.Length], default, inTurn: true).ConfigureAwait(false);
                job.Tally.Finish(segment.Length);
            }

            return;
        }

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
        job.Order.Pass(chunk.Sequence);
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
            if (!job.Sequential)
            {
                job.Order.Pass(chunk.Sequence);
            }

            await WriteZeroesAsync(segment.Start, segment.Length).ConfigureAwait(false);
        }
        else
        {
            var memory = Buffer((int)segment.Length);
            memory.Span.Clear();
            await WriteAsync(segment.Start, memory, job.Sequential ? -1 : chunk.Sequence).ConfigureAwait(false);
        }

        if (job.Sequential)
        {
            job.Order.Pass(chunk.Sequence);
        }
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
        var compared = job.LeaveOut is null ? default : (other ??= BufferPool.Rent(job.BufferSize)).Memory[..memory.Length];
        try
        {
            await ReadAsync(segment.Start, memory).ConfigureAwait(false);
            if (job.LeaveOut is { } leaveOut)
            {
                await leaveOut.ReadAsync(segment.Start, compared).ConfigureAwait(false);
            }
        }
        catch (BlockException) when (inTurn)
        {
            // Of several failures the first one of the disk is told.
            job.Order.Await(sequence);
            throw;
        }

        await WriteRunsAsync(sequence, segment, memory, compared, inTurn).ConfigureAwait(false);
    }

    private async ValueTask WriteRunsAsync(long sequence, CopySegment segment, Memory<byte> memory, Memory<byte> compared, bool inTurn)
    {
        var lastData = FindRuns(memory.Span, compared.Span, segment.Start);
        var passesAt = inTurn && !job.Sequential ? lastData : -1;
        if (inTurn)
        {
            job.Order.Await(sequence);
        }

        TellLost();
        for (var i = 0; i < runs.Count; i++)
        {
            var (start, end, kind) = runs[i];
            if (kind == RunKind.Zero)
            {
                await LeaveZeroAsync(segment.Start + start, end - start).ConfigureAwait(false);
            }
            else if (kind == RunKind.Same)
            {
                job.Tally.Skip(end - start);
            }
            else
            {
                await WriteAsync(segment.Start + start, memory[start..end], i == passesAt ? sequence : -1).ConfigureAwait(false);
            }
        }

        if (inTurn && passesAt < 0)
        {
            job.Order.Pass(sequence);
        }
    }

    /// <summary>Cuts a buffer into what is written and what is left as zeroes.</summary>
    /// <returns>The index of the last run of data, or -1.</returns>
    private int FindRuns(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> compared, long offset)
    {
        runs.Clear();
        if (job.LeaveOut is { } leaveOut)
        {
            return leaveOut.FindRuns(bytes, compared, offset, runs);
        }

        if (job.Grain == 0)
        {
            runs.Add((0, bytes.Length, RunKind.Data));
            return 0;
        }

        var lastData = -1;
        for (var at = 0; at < bytes.Length;)
        {
            var end = SparseScanner.FindRunEnd(bytes, at, offset, job.Grain, out var isZero);
            isZero &= IsWorthLeavingOut(offset + at, end - at);
            if (!isZero && runs.Count > 0 && runs[^1].Kind == RunKind.Data)
            {
                runs[^1] = (runs[^1].Start, end, RunKind.Data);
            }
            else
            {
                runs.Add((at, end, isZero ? RunKind.Zero : RunKind.Data));
            }

            lastData = isZero ? lastData : runs.Count - 1;
            at = end;
        }

        return lastData;
    }

    private void TellLost()
    {
        foreach (var (offset, failure) in lost)
        {
            job.Unreadable?.Invoke(offset, failure);
        }

        lost.Clear();
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
            await job.Salvage.ReadAsync(offset, memory, lost).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new BlockException(e.Code, $"error while reading at byte {offset}: {e.Message}", e.NodeName, e.Offset, e, e.Errno);
        }

        job.Tally.Read(memory.Length);
    }

    /// <summary>Writes.</summary>
    /// <param name="offset">Where.</param>
    /// <param name="data">What.</param>
    /// <param name="turn">The chunk whose turn ends with this write, or -1.</param>
    private async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, long turn)
    {
        var tail = (job.WriteFlags & WriteFlags.Compressed) != 0 && offset + data.Length < job.Target.Length
            ? (int)((offset + data.Length) % job.Unit)
            : 0;
        if (tail > 0 && tail < data.Length)
        {
            await WriteAsync(offset, data[..^tail], turn: -1).ConfigureAwait(false);
            await WriteAsync(offset + data.Length - tail, data[^tail..], turn).ConfigureAwait(false);
            return;
        }

        // Part of a cluster, where the target goes on behind the source's end, cannot be compressed.
        var flags = tail > 0 ? job.WriteFlags & ~WriteFlags.Compressed : job.WriteFlags;

        // A compressing target takes its place in the queue when the write begins; others allocate as soon as it begins.
        var passesFirst = turn >= 0 && (flags & WriteFlags.Compressed) == 0;
        if (passesFirst)
        {
            job.Order.Pass(turn);
        }

        try
        {
            var pending = job.Target.WriteAsync(offset, data, flags);
            if (turn >= 0 && !passesFirst)
            {
                job.Order.Pass(turn);
            }

            await pending.ConfigureAwait(false);
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
            await job.Target.WriteZeroesAsync(offset, length, job.ZeroFlags).ConfigureAwait(false);
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
