using System.Buffers;
using Byre.Storage;

namespace Byre.Nbd.Server;

/// <summary>
/// A pooled buffer that a connection uses together with requests it has in flight. Only the connection's thread takes and
/// leaves it.
/// </summary>
internal sealed class SharedBuffer
{
    private readonly IMemoryOwner<byte> owner;
    private int users = 1;

    private SharedBuffer(IMemoryOwner<byte> owner)
    {
        this.owner = owner;
        Memory = owner.Memory;
    }

    /// <summary>Its bytes.</summary>
    public Memory<byte> Memory { get; }

    /// <summary>Somebody besides the connection uses it.</summary>
    public bool IsShared => users > 1;

    /// <summary>Takes one from the pool; the caller is its first user.</summary>
    /// <param name="length">Bytes, at least 1.</param>
    public static SharedBuffer Rent(int length) => new(BufferPool.Rent(length));

    /// <summary>One user more.</summary>
    public void Retain() => users++;

    /// <summary>One user less; the last one gives it back.</summary>
    public void Release()
    {
        if (--users == 0)
        {
            owner.Dispose();
        }
    }
}
