namespace Byre.Formats.Qcow2.Metadata;

/// <summary>What stays counted when everything else is given back at once.</summary>
/// <param name="Clusters">The clusters that stay, each with one reference, in order; those of the blocks below are among them.</param>
/// <param name="Blocks">The indices of the refcount blocks that count them.</param>
internal sealed record KeptRefcounts(IReadOnlyList<long> Clusters, IReadOnlySet<long> Blocks);
