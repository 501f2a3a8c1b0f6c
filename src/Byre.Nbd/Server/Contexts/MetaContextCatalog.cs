using Byre.Nbd.Protocol;

namespace Byre.Nbd.Server.Contexts;

/// <summary>
/// The metadata contexts that an export offers, and which of them a client's queries mean (section "Metadata querying").
/// Does not change once made.
/// </summary>
internal sealed class MetaContextCatalog
{
    private const string Base = "base:";
    private const string Qemu = "qemu:";
    private const string Byre = "byre:";

    private readonly MetaContext[] all;

    /// <summary>Makes the list. base:allocation is always offered.</summary>
    /// <param name="allocationDepth">Also qemu:allocation-depth.</param>
    /// <param name="bitmaps">Also qemu:dirty-bitmap:NAME for each of these names, in this order.</param>
    /// <param name="joint">
    /// Also the joined contexts: qemu:joint-allocation with <paramref name="allocationDepth"/>, byre:joint with that or a bitmap.
    /// </param>
    public MetaContextCatalog(bool allocationDepth, IReadOnlyList<string> bitmaps, bool joint = true)
    {
        ArgumentNullException.ThrowIfNull(bitmaps);
        var list = new List<MetaContext>();
        Offer(list, NbdContextNames.BaseAllocation, MetaContextKind.Allocation);
        if (allocationDepth)
        {
            Offer(list, NbdContextNames.AllocationDepth, MetaContextKind.Depth);
        }

        for (var i = 0; i < bitmaps.Count; i++)
        {
            Offer(list, NbdContextNames.DirtyBitmapPrefix + bitmaps[i], MetaContextKind.DirtyBitmap, i);
        }

        if (joint && allocationDepth)
        {
            Offer(list, NbdContextNames.JointAllocation, MetaContextKind.JointAllocation);
        }

        if (joint && (allocationDepth || bitmaps.Count > 0))
        {
            Offer(list, NbdContextNames.Joint, MetaContextKind.Joint);
        }

        all = [.. list];
    }

    /// <summary>All contexts; the one with number n is the n-th.</summary>
    public IReadOnlyList<MetaContext> All => all;

    /// <summary>
    /// The contexts that NBD_OPT_LIST_META_CONTEXT tells of: those that any query means, each once; all of them where there is
    /// no query. A name space with nothing behind it means all of it, and so does "qemu:dirty-bitmap:". What is not known,
    /// the empty query too, means nothing.
    /// </summary>
    public IReadOnlyList<MetaContext> List(IReadOnlyList<string> queries)
    {
        ArgumentNullException.ThrowIfNull(queries);
        return queries.Count == 0 ? all : Matching(queries, wildcards: true);
    }

    /// <summary>
    /// The contexts that NBD_OPT_SET_META_CONTEXT selects: those whose full names the queries say, each once. What
    /// <see cref="List"/> takes as meaning several selects nothing.
    /// </summary>
    public IReadOnlyList<MetaContext> Select(IReadOnlyList<string> queries)
    {
        ArgumentNullException.ThrowIfNull(queries);
        return Matching(queries, wildcards: false);
    }

    private static void Offer(List<MetaContext> list, string name, MetaContextKind kind, int bitmap = -1) =>
        list.Add(new MetaContext((uint)list.Count, name, kind, bitmap));

    private List<MetaContext> Matching(IReadOnlyList<string> queries, bool wildcards)
    {
        var wanted = new HashSet<string>(queries, StringComparer.Ordinal);
        var result = new List<MetaContext>();
        foreach (var context in all)
        {
            if (wanted.Contains(context.Name) || (wildcards && IsInWildcard(context, wanted)))
            {
                result.Add(context);
            }
        }

        return result;
    }

    private static bool IsInWildcard(MetaContext context, HashSet<string> wanted) => context.Kind switch
    {
        MetaContextKind.Allocation => wanted.Contains(Base),
        MetaContextKind.Joint => wanted.Contains(Byre),
        MetaContextKind.DirtyBitmap => wanted.Contains(Qemu) || wanted.Contains(NbdContextNames.DirtyBitmapPrefix),
        _ => wanted.Contains(Qemu),
    };
}
