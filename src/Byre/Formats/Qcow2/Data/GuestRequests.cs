using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// What every request of the guest has around it: it is counted in its epoch while it runs, one that writes finds the image
/// prepared for writes, and a round of write-back follows where too much waits for one.
/// </summary>
internal sealed class GuestRequests(
    RequestEpochs epochs,
    WriteBackPressure pressure,
    WritePreparation preparation,
    HeaderStore headers,
    DataClusters data,
    GuestMap map,
    ReadPath reads,
    WritePath writes,
    CompressedWrites compressedWrites,
    KernelWrites kernelWrites,
    ZeroAndDiscard zeroes)
{
    /// <summary>Reads; fills the whole buffer.</summary>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var epoch = epochs.Enter();
        ValueTask pending;
        try
        {
            pending = reads.ReadAsync(offset, buffer);
        }
        catch
        {
            epochs.Leave(epoch);
            throw;
        }

        if (!pending.IsCompletedSuccessfully)
        {
            return FinishAsync(pending, epoch);
        }

        pending.GetAwaiter().GetResult();
        epochs.Leave(epoch);
        return default;
    }

    /// <summary>Writes; as compressed clusters where the flags ask for it.</summary>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> bytes, WriteFlags flags)
    {
        if ((flags & WriteFlags.Compressed) != 0 || !preparation.IsDone || headers.IsCorrupt)
        {
            return WriteSlowAsync(offset, bytes, flags);
        }

        var epoch = epochs.Enter();
        ValueTask pending;
        try
        {
            pending = writes.WriteAsync(offset, bytes);
        }
        catch
        {
            epochs.Leave(epoch);
            throw;
        }

        if (!pending.IsCompletedSuccessfully)
        {
            return FinishWriteAsync(pending, epoch);
        }

        pending.GetAwaiter().GetResult();
        epochs.Leave(epoch);
        return pressure.RelieveAsync();
    }

    /// <summary>Writes behind the disk, which stays as it is. The image is prepared for that.</summary>
    public async ValueTask WriteBehindAsync(long offset, ReadOnlyMemory<byte> bytes)
    {
        var epoch = epochs.Enter();
        await FinishWriteAsync(writes.WriteAsync(offset, bytes), epoch).ConfigureAwait(false);
    }

    /// <summary>Lets the kernel copy whole clusters; returns the bytes copied from the front (see <see cref="KernelWrites"/>).</summary>
    public async ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        await preparation.RunAsync(keepAllZero: false).ConfigureAwait(false);
        var epoch = epochs.Enter();
        long done;
        try
        {
            done = await kernelWrites.CopyAsync(offset, source, sourceOffset, length, mode).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }

        await pressure.RelieveAsync().ConfigureAwait(false);
        return done;
    }

    /// <summary>Makes a range read as zeroes; false where its zeroes must be written as data.</summary>
    public async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        await preparation.RunAsync(keepAllZero: true).ConfigureAwait(false);
        var epoch = epochs.Enter();
        bool done;
        try
        {
            done = await zeroes.TryZeroAsync(
                offset, length, (flags & WriteFlags.MayUnmap) != 0, (flags & WriteFlags.NoFallback) != 0).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }

        await pressure.RelieveAsync().ConfigureAwait(false);
        return done;
    }

    /// <summary>Gives the whole clusters of a range back.</summary>
    public async ValueTask DiscardAsync(long offset, long length)
    {
        await preparation.RunAsync(keepAllZero: true).ConfigureAwait(false);
        var epoch = epochs.Enter();
        try
        {
            await zeroes.DiscardAsync(offset, length).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }

        await pressure.RelieveAsync().ConfigureAwait(false);
    }

    /// <summary>Answers what this layer says of a range.</summary>
    public async ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        var epoch = epochs.Enter();
        try
        {
            await ExtentAnswers.AnswerAsync(map, data, extents, precision).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }
    }

    private async ValueTask FinishAsync(ValueTask pending, long epoch)
    {
        try
        {
            await pending.ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }
    }

    private async ValueTask FinishWriteAsync(ValueTask pending, long epoch)
    {
        await FinishAsync(pending, epoch).ConfigureAwait(false);
        await pressure.RelieveAsync().ConfigureAwait(false);
    }

    private async ValueTask WriteSlowAsync(long offset, ReadOnlyMemory<byte> bytes, WriteFlags flags)
    {
        await preparation.RunAsync(keepAllZero: false).ConfigureAwait(false);
        var epoch = epochs.Enter();
        await FinishWriteAsync(
            (flags & WriteFlags.Compressed) != 0 ? compressedWrites.WriteAsync(offset, bytes) : writes.WriteAsync(offset, bytes), epoch)
            .ConfigureAwait(false);
    }
}
