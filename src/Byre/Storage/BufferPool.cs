using System.Buffers;
using System.Collections.Concurrent;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Byre.Storage;

/// <summary>
/// Contiguous, page-aligned buffers outside of the collected heap, kept for reuse. Each has one owner, who disposes it
/// once, when nothing uses the memory any more; a buffer never disposed is never freed.
/// </summary>
public static class BufferPool
{
    private const int Alignment = 4096;
    private const int SmallestBits = 12;
    private const int LargestBits = 22;
    private const int KeptPerSize = 16;

#pragma warning disable MA0069 // one pool for the process is the point: native memory is a process-wide resource
    private static readonly ConcurrentStack<NativeBuffer>[] Kept = MakeShelves();
#pragma warning restore MA0069

    /// <summary>A buffer whose memory is exactly <paramref name="length"/> bytes long; its content is whatever it was.</summary>
    /// <param name="length">1 byte to 1 GiB; over 4 MiB nothing is kept for reuse.</param>
    public static IMemoryOwner<byte> Rent(int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        var bits = Math.Max(SmallestBits, BitOperations.Log2((uint)(length - 1)) + 1);
        if (bits > LargestBits)
        {
            return new NativeBuffer((length + Alignment - 1) & ~(Alignment - 1), -1).Lend(length);
        }

        return (Kept[bits - SmallestBits].TryPop(out var buffer) ? buffer : new NativeBuffer(1 << bits, bits)).Lend(length);
    }

    private static ConcurrentStack<NativeBuffer>[] MakeShelves()
    {
        var shelves = new ConcurrentStack<NativeBuffer>[LargestBits - SmallestBits + 1];
        for (var i = 0; i < shelves.Length; i++)
        {
            shelves[i] = new();
        }

        return shelves;
    }

    private sealed unsafe class NativeBuffer : MemoryManager<byte>
    {
        private readonly byte* start;
        private readonly int bits;
        private int lent;
        private int length;

        internal NativeBuffer(int capacity, int bits)
        {
            start = (byte*)NativeMemory.AlignedAlloc((nuint)capacity, Alignment);
            this.bits = bits;
        }

        public override Memory<byte> Memory => CreateMemory(length);

        public override Span<byte> GetSpan() => new(start, length);

        public override MemoryHandle Pin(int elementIndex = 0) => new(start + elementIndex);

        public override void Unpin()
        {
        }

        internal NativeBuffer Lend(int wanted)
        {
            length = wanted;
            lent = 1;
            return this;
        }

        protected override void Dispose(bool disposing)
        {
            if (Interlocked.Exchange(ref lent, 0) == 0)
            {
                throw new InvalidOperationException("A buffer was returned twice.");
            }

            if (bits > 0 && Kept[bits - SmallestBits] is var shelf && shelf.Count < KeptPerSize)
            {
                shelf.Push(this);
            }
            else
            {
                NativeMemory.AlignedFree(start);
            }
        }
    }
}
