using Byre.Nbd.Protocol;

namespace Byre.Nbd.Server.Contexts;

/// <summary>The extents of one context in the reply to a request. Its memory is used again for the next one.</summary>
/// <param name="context">The context.</param>
internal sealed class ContextReply(MetaContext context)
{
    private const int KeptItems = 4096;

    private NbdStatusDescriptor[] items = new NbdStatusDescriptor[8];
    private int limit = 1;

    /// <summary>The context.</summary>
    public MetaContext Context => context;

    /// <summary>How many extents there are; at least one after a query.</summary>
    public int Count { get; private set; }

    /// <summary>The extents, in order and without a gap, from the offset asked about on.</summary>
    public ReadOnlySpan<NbdStatusDescriptor> Items => items.AsSpan(0, Count);

    /// <summary>Nothing more can be added.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Forgets what it holds.</summary>
    /// <param name="most">The most extents from now on.</param>
    public void Begin(int most)
    {
        (Count, limit, IsClosed) = (0, most, false);
        if (items.Length > KeptItems)
        {
            items = new NbdStatusDescriptor[8]; // a single huge reply is not kept for the connection's life
        }
    }

    /// <summary>Takes a piece that comes next, or nothing more from now on.</summary>
    /// <param name="length">The piece's bytes.</param>
    /// <param name="flags">Its flags.</param>
    /// <param name="mayBegin">An extent may begin there, if there is room for one.</param>
    /// <returns>False where it was not taken.</returns>
    public bool TryAppend(long length, uint flags, bool mayBegin)
    {
        if (IsContinuedBy(flags))
        {
            Grow(length);
            return true;
        }

        if (mayBegin && HasRoom)
        {
            Add(length, flags);
            return true;
        }

        IsClosed = true;
        return false;
    }

    /// <summary>A piece with these flags continues the last extent.</summary>
    public bool IsContinuedBy(uint flags) => Count > 0 && items[Count - 1].Flags == flags;

    /// <summary>There is room for one extent more.</summary>
    public bool HasRoom => Count < limit;

    /// <summary>The last extent becomes longer.</summary>
    public void Grow(long length) => items[Count - 1] = items[Count - 1] with { Length = items[Count - 1].Length + (ulong)length };

    /// <summary>Adds an extent.</summary>
    public void Add(long length, uint flags)
    {
        if (Count == items.Length)
        {
            Array.Resize(ref items, Count * 2);
        }

        items[Count++] = new NbdStatusDescriptor((ulong)length, flags);
    }
}
