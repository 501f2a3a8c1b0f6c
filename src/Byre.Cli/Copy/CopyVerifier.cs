using System.Security.Cryptography;
using Byre.Cli.Checksum;
using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Copy;

/// <summary>Reads a target back and compares it with what was copied.</summary>
internal static class CopyVerifier
{
    /// <summary>The digest by which a stream, which cannot be read twice, is compared.</summary>
    public static HashAlgorithmName Algorithm => HashAlgorithmName.SHA256;

    /// <summary>Compares.</summary>
    /// <param name="source">The source; a stream has been read to its end.</param>
    /// <param name="target">The target; what lies behind the copied bytes does not matter.</param>
    /// <param name="length">How much was copied, in bytes.</param>
    /// <param name="options">How the bytes were copied.</param>
    /// <param name="cancellation">Ends the comparison.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: they differ. Or one of them cannot be read.</exception>
    public static async ValueTask RunAsync(
        CopySource source, CopyTarget target, long length, CopyOptions options, CancellationToken cancellation)
    {
        var reading = new CopyOptions
        {
            OnCallersThread = true,
            Parallel = options.Parallel,
            WaitsForPeers = options.WaitsForPeers,
            BufferSize = options.BufferSize,
            SparseBytes = 0,
            KeepsHoles = true,
            IgnoresExtents = options.IgnoresExtents,
            OutOfOrder = true,
            Flushes = false,
            SourceLength = length,
        };
        if (source.Edge is { } edge)
        {
            var graph = new BlockGraph();
            var permissions = DefaultPermissions.ForUser(write: true);
            var node = new ComparingNode(target.Edge, length, target.Title);
            var compared = await graph.AttachAsync(node, ChildRole.None, permissions).ConfigureAwait(false);
            await using (compared.ConfigureAwait(false))
            {
                try
                {
                    await new CopyEngine([edge], compared, reading).RunAsync(cancellation).ConfigureAwait(false);
                }
                catch (BlockException e) when (node.Failure is { } failure)
                {
                    // Nothing was to be written: what was found is told, not that a write failed.
                    throw new BlockException(failure.Code, failure.Message, failure.NodeName, failure.Offset, e, failure.Errno);
                }
            }

            return;
        }

        using var digest = new DigestOutput(Algorithm);
        var sink = await new BlockGraph().AttachAsync(
            new SequentialNode("digest", digest), ChildRole.None, DefaultPermissions.ForUser(write: true, resize: true)).ConfigureAwait(false);
        await using (sink.ConfigureAwait(false))
        {
            await new CopyEngine([target.Edge], sink, reading with { Sequential = true, OutOfOrder = false }).RunAsync(cancellation).ConfigureAwait(false);
        }

        if (!digest.Finish().AsSpan().SequenceEqual(source.TakeDigest()))
        {
            throw new BlockException(ErrorCode.Corrupt, $"verify: '{target.Title}' does not hold what was copied to it");
        }
    }
}
