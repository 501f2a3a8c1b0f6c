namespace Byre.Formats.Qcow2.Data;

/// <summary>Packs and unpacks clusters. For one thread at a time.</summary>
internal interface IClusterCodec : IDisposable
{
    /// <summary>Compresses a cluster.</summary>
    /// <param name="cluster">A whole cluster.</param>
    /// <param name="target">Receives the compressed bytes.</param>
    /// <returns>Their number, less than the cluster's; 0 where they do not fit or do not shrink.</returns>
    int Compress(ReadOnlySpan<byte> cluster, Span<byte> target);

    /// <summary>Unpacks a cluster.</summary>
    /// <param name="source">The compressed bytes; more may follow them.</param>
    /// <param name="cluster">Filled.</param>
    /// <returns>False where the bytes are damaged or yield less than a cluster.</returns>
    bool TryDecompress(ReadOnlySpan<byte> source, Span<byte> cluster);
}
