using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>The internal snapshots of an image, and the VM state behind its disk: one operation at a time, while users wait.</summary>
/// <param name="work">What operations have in common.</param>
/// <param name="state">The VM state.</param>
/// <param name="gate">The metadata lock.</param>
/// <param name="hold">Holds users' requests back.</param>
/// <param name="length">The disk's length.</param>
/// <param name="setLength">Told the disk's length when it changes.</param>
internal sealed class Snapshots(
    SnapshotWork work, VmStateArea state, Lock gate, Func<ValueTask<IAsyncDisposable>> hold, Func<long> length, Action<long> setLength)
{
    private readonly AsyncMutex mutex = new();

    /// <summary>Lists them.</summary>
    public ValueTask<IReadOnlyList<SnapshotInfo>> ListAsync() => Qcow2Listing.SnapshotsAsync(work.File, work.Header);

    /// <summary>Takes a snapshot; VM state that belongs to it is the image's no more.</summary>
    public async ValueTask<SnapshotInfo> CreateAsync(SnapshotRequest request)
    {
        SnapshotEntry? entry = null;
        await RunAsync(async () =>
        {
            entry = await new SnapshotCreation(work).RunAsync(request, length()).ConfigureAwait(false);
            if (request.VmStateSize > 0)
            {
                await state.DropAsync(length()).ConfigureAwait(false);
            }
        }).ConfigureAwait(false);
        return SnapshotTable.Describe(entry!);
    }

    /// <summary>Applies a snapshot.</summary>
    public ValueTask ApplyAsync(SnapshotSelector which) => RunAsync(async () =>
    {
        var (table, index) = await FindAsync(which).ConfigureAwait(false);
        await new SnapshotApplication(work, gate).RunAsync(table.Entries[index], length(), setLength).ConfigureAwait(false);
    });

    /// <summary>Deletes a snapshot.</summary>
    public ValueTask DeleteAsync(SnapshotSelector which) => RunAsync(async () =>
    {
        var (table, index) = await FindAsync(which).ConfigureAwait(false);
        await new SnapshotRemoval(work).RunAsync(table, index, length()).ConfigureAwait(false);
    });

    /// <summary>Shows a snapshot instead of the disk. The image is only read.</summary>
    public ValueTask ShowAsync(SnapshotSelector which) => RunAsync(async () =>
    {
        var (table, index) = await FindAsync(which).ConfigureAwait(false);
        var entry = table.Entries[index];
        var l1 = await work.ReadL1Async(entry).ConfigureAwait(false);
        var size = entry.DiskSize ?? (ulong)length();
        if (size > (ulong)ImageGeometry.From(work.Header).MaxSize)
        {
            throw new BlockException(ErrorCode.Corrupt, $"The snapshot {which} of the image '{work.File.Node.FileName}' has an impossible disk size ({size} bytes)");
        }

        lock (gate)
        {
            work.L1.Replace(l1.Offset, l1.CopyEntries(l1.Count)); // a table too short for the disk reads as unallocated behind its end
        }

        setLength((long)size);
    });

    /// <summary>Reads VM state.</summary>
    public ValueTask ReadStateAsync(long offset, Memory<byte> buffer) => RunAsync(() => state.ReadAsync(length(), offset, buffer));

    /// <summary>Writes VM state.</summary>
    public ValueTask WriteStateAsync(long offset, ReadOnlyMemory<byte> data) => RunAsync(() => state.WriteAsync(length(), offset, data));

    private async ValueTask RunAsync(Func<ValueTask> operation)
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            var held = await hold().ConfigureAwait(false);
            await using (held.ConfigureAwait(false))
            {
                await operation().ConfigureAwait(false);
            }
        }
        finally
        {
            mutex.Release();
        }
    }

    private async ValueTask<(SnapshotTable Table, int Index)> FindAsync(SnapshotSelector which)
    {
        var table = await SnapshotTable.ReadAsync(work.File, work.Header).ConfigureAwait(false);
        return (table, table.Find(which, work.File.Node.FileName));
    }
}
