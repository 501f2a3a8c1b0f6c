using Byre.Nodes;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Another node under a name of its own, which stays usable when this one is closed; it counts what comes through.</summary>
internal sealed class KeepOpenNode(BlockNode inner) : BlockNode
{
    public int Writes;
    public int Reads;
    public int Syncs;

    public override string DriverName => inner.DriverName;

    public override string FileName => "test.qcow2";

    public override long Length => inner.Length;

    public override bool GrowsOnWrite => inner.GrowsOnWrite;

    public override bool IsReadOnly => inner.IsReadOnly;

    /// <summary>Lets requests complete later now and then.</summary>
    public static int Yields { get; set; }

    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        if (Interlocked.Increment(ref Reads) % 3 < Yields)
        {
            await Task.Yield();
        }

        await inner.ReadAsync(offset, buffer);
    }

    public override async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        if (Interlocked.Increment(ref Writes) % 3 < Yields)
        {
            await Task.Yield();
        }

        await inner.WriteAsync(offset, data, flags);
    }

    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags) =>
        inner.TryWriteZeroesAsync(offset, length, flags);

    public override ValueTask DiscardAsync(long offset, long length) => inner.DiscardAsync(offset, length);

    public override ValueTask SyncAsync()
    {
        Interlocked.Increment(ref Syncs);
        return default;
    }

    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => inner.GetExtentsAsync(extents, precision);

    public override ValueTask ResizeAsync(long length, Preallocation preallocation) => inner.ResizeAsync(length, preallocation);
}
