using System.Buffers;
using Byre.Nbd.Protocol;
using Byre.Storage;

namespace Byre.Nbd.Server;

/// <summary>A request that has begun, and what its reply will be made of.</summary>
internal sealed class PendingRequest
{
    /// <summary>The request.</summary>
    public NbdRequestHeader Header { get; set; }

    /// <summary>Why it failed; set before it is done.</summary>
    public NbdError Error { get; set; }

    /// <summary>Bytes of buffers that it counts for.</summary>
    public long Held { get; set; }

    /// <summary>Its reply should be short.</summary>
    public bool IsFrugal { get; set; }

    /// <summary>Bytes that the budget of all clients counts while it is in flight: those of no lease.</summary>
    public long Counted { get; set; }

    /// <summary>The buffer that a write's data lie in, retained; or null.</summary>
    public SharedBuffer? Input { get; set; }

    /// <summary>The buffer that a short read's reply lies in, retained; or null.</summary>
    public SharedBuffer? Pinned { get; set; }

    /// <summary>Where in <see cref="Pinned"/> the reply begins.</summary>
    public int PinnedStart { get; set; }

    /// <summary>A buffer of its own: of a write's data, a long read's data, or finished chunks; or null.</summary>
    public IMemoryOwner<byte>? Payload { get; set; }

    /// <summary>The bytes of <see cref="Payload"/> that are finished chunks; 0 where it holds something else.</summary>
    public int ChunkBytes { get; set; }

    /// <summary>Rents the payload: within its lease, where it has one.</summary>
    /// <param name="length">Bytes.</param>
    public IMemoryOwner<byte> Rent(int length) => Payload = Payload is PayloadLease lease ? lease.Rent(length) : BufferPool.Rent(length);

    /// <summary>Lets go of all buffers.</summary>
    public void Release()
    {
        Input?.Release();
        Pinned?.Release();
        Payload?.Dispose();
        (Input, Pinned, Payload) = (null, null, null);
    }
}
