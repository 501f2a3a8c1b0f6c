using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Reads and compresses clusters, on the thread pool, and keeps the last few that were decompressed. A cached cluster goes
/// by its entry, which stays the same as long as its bytes do: who stores new bytes forgets the entry first.
/// </summary>
/// <param name="file">Where the compressed bytes lie.</param>
/// <param name="map">The guest's disk.</param>
/// <param name="headers">The image's header.</param>
/// <param name="inline">Callers' threads may be kept busy: what they read is decompressed there and not on the pool.</param>
internal sealed class CompressedClusters(BlockEdge file, GuestMap map, HeaderStore headers, bool inline) : IDisposable
{
    private const int Kept = 8;

    private readonly ConcurrentBag<IClusterCodec> codecs = [];
    private readonly Lock gate = new();
    private readonly List<(ulong Raw, byte[] Bytes)> recent = []; // the last used one is the last

    /// <summary>Reads a part of one compressed cluster.</summary>
    public ValueTask ReadAsync(ulong raw, long guest, Memory<byte> buffer)
    {
        var within = (int)(guest & (map.ClusterSize - 1));
        if (Find(raw) is { } bytes)
        {
            bytes.AsSpan(within, buffer.Length).CopyTo(buffer.Span);
            return default;
        }

        // Who reads whole clusters goes through the image once: they are decompressed where they are wanted, and not kept.
        return buffer.Length == map.ClusterSize ? LoadWholeAsync(raw, guest, buffer) : LoadAsync(raw, guest, within, buffer);
    }

    /// <summary>Compresses a cluster.</summary>
    /// <param name="cluster">A whole cluster.</param>
    /// <returns>The compressed bytes, or null where they would not be fewer.</returns>
    public Task<(IMemoryOwner<byte> Buffer, int Length)?> CompressAsync(ReadOnlyMemory<byte> cluster) => Task.Run(() => Compress(cluster));

    /// <summary>New bytes are stored under an entry.</summary>
    public void Forget(ulong raw)
    {
        lock (gate)
        {
            recent.RemoveAll(r => r.Raw == raw);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        while (codecs.TryTake(out var codec))
        {
            codec.Dispose();
        }
    }

    private (IMemoryOwner<byte> Buffer, int Length)? Compress(ReadOnlyMemory<byte> cluster)
    {
        var target = BufferPool.Rent(map.ClusterSize);
        var codec = Take();
        try
        {
            var length = codec.Compress(cluster.Span, target.Memory.Span);
            if (length > 0 && length < map.ClusterSize)
            {
                var kept = target;
                target = null;
                return (kept, length);
            }

            return null;
        }
        finally
        {
            codecs.Add(codec);
            target?.Dispose();
        }
    }

    private async ValueTask LoadAsync(ulong raw, long guest, int within, Memory<byte> buffer)
    {
        var bytes = new byte[map.ClusterSize];
        await LoadWholeAsync(raw, guest, bytes).ConfigureAwait(false);
        bytes.AsSpan(within, buffer.Length).CopyTo(buffer.Span);
        lock (gate)
        {
            if (!recent.Exists(r => r.Raw == raw))
            {
                if (recent.Count >= Kept)
                {
                    recent.RemoveAt(0);
                }

                recent.Add((raw, bytes));
            }
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask LoadWholeAsync(ulong raw, long guest, Memory<byte> cluster)
    {
        var (place, length) = new L2Entry(raw).CompressedPlace(map.Geometry);
        using var source = BufferPool.Rent(length);
        file.DebugEvent(BlkdebugEvent.ReadCompressed);
        await PaddedReads.ReadAsync(file, place.Value, source.Memory).ConfigureAwait(false);
        if (inline ? Decompress(source.Memory, cluster) : await OnPoolAsync(source.Memory, cluster).ConfigureAwait(false))
        {
            return;
        }

        var name = file.Node.FileName;
        throw new BlockException(
            ErrorCode.Io, $"The compressed cluster at {place} of the image '{name}' cannot be decompressed", name, guest);
    }

    private Task<bool> OnPoolAsync(ReadOnlyMemory<byte> source, Memory<byte> cluster) => Task.Run(() => Decompress(source, cluster));

    private bool Decompress(ReadOnlyMemory<byte> source, Memory<byte> cluster)
    {
        var codec = Take();
        try
        {
            return codec.TryDecompress(source.Span, cluster.Span);
        }
        finally
        {
            codecs.Add(codec);
        }
    }

    private byte[]? Find(ulong raw)
    {
        lock (gate)
        {
            var index = recent.FindIndex(r => r.Raw == raw);
            if (index < 0)
            {
                return null;
            }

            var found = recent[index];
            recent.RemoveAt(index);
            recent.Add(found);
            return found.Bytes;
        }
    }

    private IClusterCodec Take() => codecs.TryTake(out var codec) ? codec : ClusterCodecs.Create(headers.Header.CompressionType);
}
