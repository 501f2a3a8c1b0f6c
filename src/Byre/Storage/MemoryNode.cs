using System.Collections.Concurrent;
using Byre.Nodes;

namespace Byre.Storage;

/// <summary>A disk in memory. Space is taken in chunks of 64 KiB as they are written, so a huge length costs nothing.</summary>
public sealed class MemoryNode : BlockNode
{
    private const int ChunkBits = 16;
    private const int ChunkSize = 1 << ChunkBits;

    private readonly ConcurrentDictionary<long, byte[]> chunks = new();
    private long length;

    /// <summary>Makes a disk that reads as zeroes.</summary>
    /// <param name="length">Bytes, at least 0.</param>
    public MemoryNode(long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        this.length = length;
    }

    /// <summary>Makes a disk with the given content.</summary>
    public MemoryNode(ReadOnlySpan<byte> content)
        : this(content.Length) => Write(0, content);

    /// <inheritdoc/>
    public override string DriverName => "memory";

    /// <inheritdoc/>
    public override long Length => Volatile.Read(ref length);

    /// <inheritdoc/>
    public override bool GrowsOnWrite => true;

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags => WriteFlags.Fua;

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var target = buffer.Span;
        while (!target.IsEmpty)
        {
            var within = (int)(offset & (ChunkSize - 1));
            var n = Math.Min(target.Length, ChunkSize - within);
            if (chunks.TryGetValue(offset >> ChunkBits, out var chunk))
            {
                chunk.AsSpan(within, n).CopyTo(target);
            }
            else
            {
                target[..n].Clear();
            }

            target = target[n..];
            offset += n;
        }

        return default;
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        Write(offset, data.Span);
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        Clear(offset, length);
        Grow(offset + length);
        return new(true);
    }

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length)
    {
        Clear(offset, length);
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        while (!extents.IsFull)
        {
            var at = extents.End;
            var end = Math.Min(((at >> ChunkBits) + 1) << ChunkBits, extents.RangeEnd);
            var isData = chunks.ContainsKey(at >> ChunkBits);
            extents.Add(new BlockExtent(
                at, end - at, isData ? ExtentState.Data : ExtentState.Zero, isData ? ExtentFlags.None : ExtentFlags.Hole, at, this, 1));
        }

        return default;
    }

    /// <inheritdoc/>
    public override ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        var before = Length;
        if (length < before)
        {
            Clear(length, before - length);
        }

        Volatile.Write(ref this.length, length);
        return default;
    }

    private void Write(long offset, ReadOnlySpan<byte> data)
    {
        Grow(offset + data.Length);
        while (!data.IsEmpty)
        {
            var within = (int)(offset & (ChunkSize - 1));
            var n = Math.Min(data.Length, ChunkSize - within);
            var chunk = chunks.GetOrAdd(offset >> ChunkBits, static _ => new byte[ChunkSize]);
            data[..n].CopyTo(chunk.AsSpan(within));
            data = data[n..];
            offset += n;
        }
    }

    private void Clear(long offset, long count)
    {
        while (count > 0)
        {
            var within = (int)(offset & (ChunkSize - 1));
            var n = (int)Math.Min(count, ChunkSize - within);
            if (n == ChunkSize)
            {
                chunks.TryRemove(offset >> ChunkBits, out _);
            }
            else if (chunks.TryGetValue(offset >> ChunkBits, out var chunk))
            {
                chunk.AsSpan(within, n).Clear();
            }

            offset += n;
            count -= n;
        }
    }

    private void Grow(long end)
    {
        var seen = Volatile.Read(ref length);
        while (end > seen)
        {
            var was = Interlocked.CompareExchange(ref length, end, seen);
            if (was == seen)
            {
                return;
            }

            seen = was;
        }
    }
}
