using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>The file that stores guest data: plain, or through its encryption.</summary>
internal sealed class DataClusters(BlockEdge edge, EncryptedClusters? encrypted)
{
    /// <summary>The file.</summary>
    public BlockEdge Edge => edge;

    /// <summary>What it stores is encrypted: zeroes in it are no zeroes of the guest's.</summary>
    public bool IsEncrypted => encrypted is not null;

    /// <summary>Reads guest data; what the file lacks is zero where it is plain.</summary>
    /// <param name="host">Where it is in the file.</param>
    /// <param name="guest">Where the guest sees it.</param>
    /// <param name="buffer">Filled.</param>
    public ValueTask ReadAsync(long host, long guest, Memory<byte> buffer) =>
        encrypted is null ? PaddedReads.ReadAsync(edge, host, buffer) : encrypted.ReadAsync(host, guest, buffer);

    /// <summary>Writes guest data.</summary>
    /// <param name="host">Where it goes in the file.</param>
    /// <param name="guest">Where the guest sees it.</param>
    /// <param name="bytes">The data.</param>
    public ValueTask WriteAsync(long host, long guest, ReadOnlyMemory<byte> bytes) =>
        encrypted is null ? edge.WriteAsync(host, bytes) : encrypted.WriteAsync(host, guest, bytes);

    /// <summary>Writes guest data, whole sectors, out of a buffer whose content nobody needs any more.</summary>
    public ValueTask WriteOwnAsync(long host, long guest, Memory<byte> bytes) =>
        encrypted is null ? edge.WriteAsync(host, bytes) : encrypted.WriteOwnAsync(host, guest, bytes);
}
