using System.Security.Cryptography;
using Byre.Nodes;

namespace Byre.Cli.Checksum;

/// <summary>Digests the bytes that it takes.</summary>
internal sealed class DigestOutput(HashAlgorithmName algorithm) : ISequentialOutput, IDisposable
{
    private readonly IncrementalHash hash = IncrementalHash.CreateHash(algorithm);

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> data) => hash.AppendData(data);

    /// <summary>The digest of all that was taken.</summary>
    public byte[] Finish() => hash.GetHashAndReset();

    /// <inheritdoc/>
    public void Dispose() => hash.Dispose();
}
