using System.Buffers;
using System.Buffers.Binary;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Writes one thing after another in large pieces.</summary>
internal sealed class SequentialWriter(BlockEdge file, long start) : IDisposable
{
    private const int BufferSize = 1 << 20;

    private readonly IMemoryOwner<byte> buffer = BufferPool.Rent(BufferSize);
    private long written = start;
    private int filled;

    /// <summary>Where the next byte goes.</summary>
    internal long Position => written + filled;

    public void Dispose() => buffer.Dispose();

    /// <summary>Appends a number of eight bytes, big-endian.</summary>
    internal ValueTask AppendAsync(ulong bigEndian)
    {
        BinaryPrimitives.WriteUInt64BigEndian(buffer.Memory.Span[filled..], bigEndian);
        filled += 8;
        return filled == BufferSize ? FlushAsync() : default;
    }

    /// <summary>Appends bytes.</summary>
    internal async ValueTask AppendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            var n = Math.Min(bytes.Length, BufferSize - filled);
            bytes[..n].CopyTo(buffer.Memory[filled..]);
            bytes = bytes[n..];
            filled += n;
            if (filled == BufferSize)
            {
                await FlushAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Zeroes up to an offset.</summary>
    internal async ValueTask PadAsync(long end)
    {
        while (Position < end)
        {
            var n = (int)Math.Min(end - Position, BufferSize - filled);
            buffer.Memory.Span.Slice(filled, n).Clear();
            filled += n;
            if (filled == BufferSize)
            {
                await FlushAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Writes what is still in the buffer.</summary>
    internal async ValueTask FlushAsync()
    {
        await file.WriteAsync(written, buffer.Memory[..filled]).ConfigureAwait(false);
        written += filled;
        filled = 0;
    }
}
