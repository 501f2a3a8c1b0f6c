using System.Buffers;
using System.Runtime.CompilerServices;
using Byre.Nbd.Protocol;

namespace Byre.Nbd.Server.Contexts;

/// <summary>
/// The extents of one context in the reply to a request. Its memory is used again for the next one; that of a long reply
/// comes from a pool and goes back there.
/// </summary>
/// <param name="context">The context.</param>
internal sealed class ContextReply(MetaContext context)
{
    private readonly NbdStatusDescriptor[] few = new NbdStatusDescriptor[8];
    private NbdStatusDescriptor[] items = [];
    private int limit = 1;

    /// <summary>The context.</summary>
    public MetaContext Context => context;

    /// <summary>How many extents there are; at least one after a query.</summary>
    public int Count { get; private set; }

    /// <summary>The extents, in order and without a gap, from the offset asked about on.</summary>
    public ReadOnlySpan<NbdStatusDescriptor> Items => items.AsSpan(0, Count);

    /// <summary>Nothing more can be added.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Forgets what it holds, and begins anew.</summary>
    /// <param name="most">The most extents from now on.</param>
    public void Begin(int most)
    {
        Forget();
        (limit, IsClosed) = (most, false);
    }

    /// <summary>Forgets what it holds: a long reply's memory goes back to the pool.</summary>
    public void Forget()
    {
        if (items.Length > few.Length)
        {
            ArrayPool<NbdStatusDescriptor>.Shared.Return(items);
        }

        (items, Count) = (few, 0);
    }

    /// <summary>Takes a piece that comes next, or nothing more from now on.</summary>
    /// <param name="length">The piece's bytes.</param>
    /// <param name="flags">Its flags.</param>
    /// <param name="mayBegin">An extent may begin there, if there is room for one.</param>
    /// <returns>False where it was not taken.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
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
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsContinuedBy(uint flags) => Count > 0 && items[Count - 1].Flags == flags;

    /// <summary>There is room for one extent more.</summary>
    public bool HasRoom => Count < limit;

    /// <summary>The last extent becomes longer.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Grow(long length) => items[Count - 1] = items[Count - 1] with { Length = items[Count - 1].Length + (ulong)length };

    /// <summary>Adds an extent.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(long length, uint flags)
    {
        if (Count == items.Length)
        {
            MakeRoom();
        }

        items[Count++] = new NbdStatusDescriptor((ulong)length, flags);
    }

    private void MakeRoom()
    {
        var more = ArrayPool<NbdStatusDescriptor>.Shared.Rent(Math.Max(4 * few.Length, 4 * Count));
        Items.CopyTo(more);
        if (items.Length > few.Length)
        {
            ArrayPool<NbdStatusDescriptor>.Shared.Return(items);
        }

        items = more;
    }
}
