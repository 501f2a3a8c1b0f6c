using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>The state of a machine, which lies behind the disk: from the first L2 table on that maps nothing of the disk.</summary>
internal sealed class VmStateArea(
    HeaderStore headers,
    WritePreparation preparation,
    L1Growth growth,
    GuestMap map,
    GuestRequests requests,
    ZeroAndDiscard zeroes,
    WriteBackRound round,
    int alignment)
{
    /// <summary>Reads state.</summary>
    /// <param name="diskSize">The disk's length, in bytes.</param>
    /// <param name="offset">First byte, from the beginning of the state.</param>
    /// <param name="buffer">Filled.</param>
    public ValueTask ReadAsync(long diskSize, long offset, Memory<byte> buffer)
    {
        var start = StartOf(diskSize, offset, buffer.Length);
        return buffer.IsEmpty ? default
            : IsAligned(start, buffer.Length) ? requests.ReadAsync(start, buffer)
            : ReadWithinAsync(start, buffer);
    }

    /// <summary>Writes state. Nothing else uses the image meanwhile.</summary>
    /// <param name="diskSize">The disk's length, in bytes.</param>
    /// <param name="offset">First byte, from the beginning of the state.</param>
    /// <param name="data">What is written.</param>
    public async ValueTask WriteAsync(long diskSize, long offset, ReadOnlyMemory<byte> data)
    {
        if (!headers.IsWritable)
        {
            throw new BlockException(ErrorCode.ReadOnly, "The image is open for reading: it takes no VM state");
        }

        var start = StartOf(diskSize, offset, data.Length);
        if (data.IsEmpty)
        {
            return;
        }

        await preparation.RunAsync(keepAllZero: true, keepBitmaps: true).ConfigureAwait(false); // the disk stays as it is
        await growth.EnsureAsync(start + data.Length).ConfigureAwait(false);
        if (IsAligned(start, data.Length))
        {
            await requests.WriteBehindAsync(start, data).ConfigureAwait(false);
            return;
        }

        var (from, length) = Widen(start, data.Length);
        using var sectors = BufferPool.Rent(length);
        await requests.ReadAsync(from, sectors.Memory).ConfigureAwait(false);
        data.CopyTo(sectors.Memory[(int)(start - from)..]);
        await requests.WriteBehindAsync(from, sectors.Memory).ConfigureAwait(false);
    }

    /// <summary>Forgets all state, and brings that to the disk. Nothing else uses the image meanwhile.</summary>
    /// <param name="diskSize">The disk's length, in bytes.</param>
    public async ValueTask DropAsync(long diskSize)
    {
        var start = map.VmStateStart(diskSize);
        await zeroes.CutAsync(start, map.MappedEnd).ConfigureAwait(false);
        map.DropTablesBeyond(start);
        await round.CleanAsync().ConfigureAwait(false);
    }

    /// <summary>The range is one that the image can read and write as it is.</summary>
    private bool IsAligned(long start, long length) => ((start | length) & (alignment - 1)) == 0;

    private (long Start, int Length) Widen(long start, int length)
    {
        var from = start & -(long)alignment;
        return (from, (int)(((start + length + alignment - 1) & -(long)alignment) - from));
    }

    private async ValueTask ReadWithinAsync(long start, Memory<byte> buffer)
    {
        var (from, length) = Widen(start, buffer.Length);
        using var sectors = BufferPool.Rent(length);
        await requests.ReadAsync(from, sectors.Memory).ConfigureAwait(false);
        sectors.Memory.Slice((int)(start - from), buffer.Length).CopyTo(buffer);
    }

    private long StartOf(long diskSize, long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var start = map.VmStateStart(diskSize);
        return offset <= map.Geometry.MaxSize - start - length
            ? start + offset
            : throw new BlockException(ErrorCode.TooLarge, $"The image has no room for VM state at offset {offset}");
    }
}
