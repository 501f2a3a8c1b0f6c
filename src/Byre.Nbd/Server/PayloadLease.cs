using System.Buffers;
using Byre.Storage;

namespace Byre.Nbd.Server;

/// <summary>A part of a <see cref="MemoryBudget"/>, and the buffer it is used for. Disposing gives both back.</summary>
/// <param name="budget">The budget.</param>
/// <param name="bytes">What was taken of it.</param>
internal sealed class PayloadLease(MemoryBudget budget, long bytes) : IMemoryOwner<byte>
{
    private IMemoryOwner<byte>? buffer;
    private int isReturned;

    /// <inheritdoc/>
    public Memory<byte> Memory => buffer?.Memory ?? default;

    /// <summary>Rents the buffer.</summary>
    /// <param name="length">Bytes, about what was taken at most.</param>
    /// <returns>Itself.</returns>
    public PayloadLease Rent(int length)
    {
        buffer?.Dispose();
        buffer = BufferPool.Rent(length);
        return this;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref isReturned, 1) == 0)
        {
            buffer?.Dispose();
            buffer = null;
            budget.Return(bytes);
        }
    }
}
