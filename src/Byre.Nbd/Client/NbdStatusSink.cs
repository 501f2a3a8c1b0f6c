using Byre.Nbd.Protocol;

namespace Byre.Nbd.Client;

/// <summary>
/// Takes the answer to a question for block status: for each metadata context of the connection a list of extents, which begin
/// at <see cref="Offset"/> and follow one another. The lists need not be of one length. Reused by its owner; read when the
/// request has completed.
/// </summary>
/// <param name="limit">The most extents of one context to keep, at least 1; what the server says beyond is dropped.</param>
public sealed class NbdStatusSink(int limit = 1 << 18)
{
    private readonly List<List<NbdStatusDescriptor>> contexts = [];

    /// <summary>Where the extents begin.</summary>
    public long Offset { get; private set; }

    /// <summary>How many contexts there are: as many as <see cref="NbdClient.Contexts"/>, in that order.</summary>
    public int ContextCount { get; private set; }

    /// <summary>
    /// The extents of a context. Empty where the answer was limited to other contexts. The last one may reach beyond the range
    /// asked about, and never reaches beyond the export's end.
    /// </summary>
    public IReadOnlyList<NbdStatusDescriptor> Of(int context)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(context, ContextCount);
        return contexts[context];
    }

    internal void Begin(long offset, int count)
    {
        Offset = offset;
        ContextCount = count;
        while (contexts.Count < count)
        {
            contexts.Add([]);
        }

        foreach (var list in contexts)
        {
            list.Clear();
        }
    }

    internal void Add(int context, NbdStatusDescriptor extent)
    {
        var list = contexts[context];
        if (list.Count < limit)
        {
            list.Add(extent);
        }
    }
}
