using System.Buffers;
using System.Runtime.ExceptionServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Stores whole clusters compressed: several are compressed at the same time, then packed one behind the other. What does
/// not get smaller is written plainly. Writes are compressed side by side and stored in the order in which they began.
/// </summary>
internal sealed class CompressedWrites(
    BlockEdge file,
    GuestMap map,
    CompressedClusters compressed,
    WritePath writes,
    ClusterAllocator allocator,
    InFlightAllocations claims,
    OverlapGuard guard,
    HeaderStore headers,
    bool punchReplaced,
    Func<long> imageLength)
{
    private const int AtOnce = 8;

    private readonly Lock queueLock = new();
    private Task lastInQueue = Task.CompletedTask; // guarded by queueLock

    /// <summary>Writes clusters; the last may be short where the disk ends.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: not whole clusters.</exception>
    public async ValueTask WriteAsync(long guest, ReadOnlyMemory<byte> bytes)
    {
        var end = guest + bytes.Length;
        if ((guest & (map.ClusterSize - 1)) != 0 || ((end & (map.ClusterSize - 1)) != 0 && end != imageLength()))
        {
            throw new BlockException(ErrorCode.Invalid, "Compressed data must be written in whole clusters.", file.Node.FileName, guest);
        }

        var stored = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task before;
        lock (queueLock)
        {
            before = lastInQueue;
            lastInQueue = stored.Task;
        }

        try
        {
            while (!bytes.IsEmpty)
            {
                var n = (int)Math.Min(bytes.Length, (long)AtOnce << map.ClusterBits);
                await WriteSomeAsync(guest, bytes[..n], before).ConfigureAwait(false);
                guest += n;
                bytes = bytes[n..];
            }
        }
        finally
        {
            stored.SetResult();
        }
    }

    private async ValueTask WriteSomeAsync(long guest, ReadOnlyMemory<byte> bytes, Task before)
    {
        var count = (bytes.Length + map.ClusterSize - 1) >> map.ClusterBits;
        var work = new Task<(IMemoryOwner<byte> Buffer, int Length)?>[count];
        IMemoryOwner<byte>? padded = null;
        for (var i = 0; i < count; i++)
        {
            var cluster = bytes.Slice(i << map.ClusterBits, Math.Min(map.ClusterSize, bytes.Length - (i << map.ClusterBits)));
            if (cluster.Length < map.ClusterSize)
            {
                padded = BufferPool.Rent(map.ClusterSize);
                padded.Memory.Span[cluster.Length..].Clear();
                cluster.CopyTo(padded.Memory);
                cluster = padded.Memory;
            }

            work[i] = compressed.CompressAsync(cluster);
        }

        await before.ConfigureAwait(false);
        ExceptionDispatchInfo? failure = null;
        for (var i = 0; i < count; i++)
        {
            try
            {
                var result = await work[i].ConfigureAwait(false);
                using var buffer = result?.Buffer;
                if (failure is null)
                {
                    var at = i << map.ClusterBits;
                    await StoreAsync(guest + at, bytes.Slice(at, Math.Min(map.ClusterSize, bytes.Length - at)), result).ConfigureAwait(false);
                }
            }
            catch (Exception e)
            {
                failure ??= ExceptionDispatchInfo.Capture(e); // the others use our buffers until they end
            }
        }

        padded?.Dispose();
        failure?.Throw();
    }

    private async ValueTask StoreAsync(long guest, ReadOnlyMemory<byte> plain, (IMemoryOwner<byte> Buffer, int Length)? packed)
    {
        if (packed is not { } p)
        {
            await writes.WriteAsync(guest, plain).ConfigureAwait(false);
            return;
        }

        using var claim = await claims.ClaimAsync(guest, guest + map.ClusterSize).ConfigureAwait(false);
        await map.EnsureTableAsync(guest).ConfigureAwait(false);
        var old = (await map.EntriesAsync(guest, 1).ConfigureAwait(false))[0];
        var offset = await allocator.AllocateBytesAsync(p.Length).ConfigureAwait(false);
        if (offset.Value > L2Entry.MaxCompressedOffset(map.Geometry).Value)
        {
            var first = map.Geometry.ClusterOf(offset);
            map.Abandon(new FreedRange(new HostOffset(first << map.ClusterBits), map.Geometry.ClusterOf(offset + (p.Length - 1)) - first + 1, false));
            throw new BlockException(
                ErrorCode.NoSpace,
                $"The image '{file.Node.FileName}' is too long for another compressed cluster: its entry could not lead there",
                file.Node.FileName,
                guest);
        }

        var entry = L2Entry.Compressed(map.Geometry, offset, p.Length);
        try
        {
            if (guard.Find(offset, p.Length) is var hit && hit != OverlapChecks.None)
            {
                throw await headers.CorruptAsync($"a write at {offset} would overwrite {OverlapGuard.Describe(hit)}", offset.Value).ConfigureAwait(false);
            }

            compressed.Forget(entry.Raw);
            file.DebugEvent(BlkdebugEvent.WriteCompressed);
            await file.WriteAsync(offset.Value, p.Buffer.Memory[..p.Length]).ConfigureAwait(false);
            var freed = new List<FreedRange>();
            if (old.IsCompressed)
            {
                freed.Add(map.CompressedRange(old, punchReplaced));
            }
            else if (old.HasHost(map.Geometry))
            {
                freed.Add(new FreedRange(old.Host, 1, punchReplaced));
            }

            await map.ChangeAsync(guest, new[] { entry }, freed).ConfigureAwait(false);
        }
        catch
        {
            map.Abandon(map.CompressedRange(entry, false));
            throw;
        }
    }
}
