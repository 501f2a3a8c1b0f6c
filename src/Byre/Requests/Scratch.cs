using System.Buffers;

namespace Byre.Requests;

/// <summary>Short-lived aligned buffers for requests that a node cannot take as they are.</summary>
internal static class Scratch
{
    /// <summary>A buffer of exactly <paramref name="length"/> bytes; what it holds is anything.</summary>
    public static IMemoryOwner<byte> Rent(int length, int alignment)
    {
        _ = alignment;
        return new Owner(length);
    }

    /// <summary>A constant buffer of zeroes.</summary>
    public static ReadOnlyMemory<byte> Zeroes(int length) => GC.AllocateArray<byte>(length, pinned: true);

    private sealed class Owner(int length) : IMemoryOwner<byte>
    {
        private byte[]? array = ArrayPool<byte>.Shared.Rent(length);

        public Memory<byte> Memory => array.AsMemory(0, length);

        public void Dispose()
        {
            if (array is not null)
            {
                ArrayPool<byte>.Shared.Return(array);
                array = null;
            }
        }
    }
}
