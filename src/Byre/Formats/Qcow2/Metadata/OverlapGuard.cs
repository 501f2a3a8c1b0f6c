using System.Collections.Concurrent;
using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// Knows which host clusters hold metadata, so that no data is ever written over it, whatever the refcounts say. Asking
/// takes no lock.
/// </summary>
internal sealed class OverlapGuard(OverlapChecks checks, int clusterBits)
{
    private const int ChunkBits = 6;

    private ConcurrentDictionary<long, ushort[]> chunks = new();

    /// <summary>A kind is checked.</summary>
    public bool Knows(OverlapChecks kind) => (checks & kind) != 0;

    /// <summary>A range of the file holds metadata of a kind. The caller holds the metadata lock, or is alone.</summary>
    public void Add(OverlapChecks kind, HostOffset offset, long length)
    {
        if ((checks & kind) != 0 && length > 0)
        {
            for (var cluster = offset.Value >> clusterBits; cluster <= (offset.Value + length - 1) >> clusterBits; cluster++)
            {
                chunks.GetOrAdd(cluster >> ChunkBits, static _ => new ushort[1 << ChunkBits])[cluster & ((1 << ChunkBits) - 1)] |= (ushort)kind;
            }
        }
    }

    /// <summary>A range of the file holds no metadata of a kind any more. The caller holds the metadata lock.</summary>
    public void Remove(OverlapChecks kind, HostOffset offset, long length)
    {
        if (length > 0)
        {
            for (var cluster = offset.Value >> clusterBits; cluster <= (offset.Value + length - 1) >> clusterBits; cluster++)
            {
                if (chunks.TryGetValue(cluster >> ChunkBits, out var chunk))
                {
                    chunk[cluster & ((1 << ChunkBits) - 1)] &= (ushort)~kind;
                }
            }
        }
    }

    /// <summary>A guard with the same checks, that knows of no metadata yet.</summary>
    public OverlapGuard NewAlike() => new(checks, clusterBits);

    /// <summary>Knows from now on what another one knows, which is not used any more. The caller holds the metadata lock.</summary>
    public void TakeOver(OverlapGuard other) => chunks = other.chunks;

    /// <summary>What kind of metadata a write to the range would hit, or None.</summary>
    /// <param name="offset">Where the range begins in the file.</param>
    /// <param name="length">Its bytes, at least 1.</param>
    /// <param name="own">A kind that may be there: what is written is of it.</param>
    public OverlapChecks Find(HostOffset offset, long length, OverlapChecks own = OverlapChecks.None)
    {
        if (checks == OverlapChecks.None)
        {
            return OverlapChecks.None;
        }

        for (var cluster = offset.Value >> clusterBits; cluster <= (offset.Value + length - 1) >> clusterBits; cluster++)
        {
            if (chunks.TryGetValue(cluster >> ChunkBits, out var chunk) && (chunk[cluster & ((1 << ChunkBits) - 1)] & ~(int)own) is var kinds && kinds != 0)
            {
                return (OverlapChecks)(kinds & -kinds);
            }
        }

        return OverlapChecks.None;
    }

    /// <summary>The kind in words.</summary>
    public static string Describe(OverlapChecks kind) => kind switch
    {
        OverlapChecks.MainHeader => "the header",
        OverlapChecks.ActiveL1 => "the active L1 table",
        OverlapChecks.ActiveL2 => "an active L2 table",
        OverlapChecks.RefcountTable => "the refcount table",
        OverlapChecks.RefcountBlock => "a refcount block",
        OverlapChecks.SnapshotTable => "the snapshot table",
        OverlapChecks.InactiveL1 => "a snapshot's L1 table",
        OverlapChecks.InactiveL2 => "a snapshot's L2 table",
        _ => "the bitmap directory or a bitmap's table",
    };
}
