using System.Runtime.CompilerServices;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Server.Contexts;

/// <summary>
/// Answers NBD_CMD_BLOCK_STATUS: all contexts of a request in one walk of the mapping. It keeps lists that it uses again:
/// one query at a time; each connection has its own.
/// </summary>
internal sealed class ContextWalker
{
    /// <summary>The most extents of a context in one reply: 1 MiB of 8-byte descriptors.</summary>
    public const int DefaultLimit = 128 << 10;

    /// <summary>
    /// How far a reply with 32-bit lengths may reach, in bytes: no extent is longer then, and whoever goes on asks from a
    /// round offset.
    /// </summary>
    public const long CompactReach = (1L << 32) - (64 << 10);

    // A walk ends here at the latest, however many extents say the same: the client asks again for the rest.
    private const int MaxPieces = 512 << 10;

    private readonly ContextSource source;
    private readonly MappingCursor mapping;
    private readonly BitmapCursor[] bitmaps;
    private readonly bool[] isNeeded;
    private readonly bool isAligned;
    private readonly long reach;
    private uint[] flags = [];
    private ContextReply[] replies = [];

    // The walk: where it is, where the range ends that was asked about, and where nothing more is wanted.
    private long at;
    private long rangeEnd;
    private long walkEnd;
    private int pieces;
    private bool needsMapping;

    /// <summary>Makes a walker.</summary>
    /// <param name="source">What it tells about.</param>
    /// <param name="isAligned">All contexts of a reply get the same extent lengths.</param>
    /// <param name="style">With extended headers lengths have 64 bits.</param>
    public ContextWalker(ContextSource source, bool isAligned, NbdHeaderStyle style)
    {
        ArgumentNullException.ThrowIfNull(source);
        this.source = source;
        this.isAligned = isAligned;
        reach = style == NbdHeaderStyle.Extended ? long.MaxValue : CompactReach;
        mapping = new MappingCursor(source.Edge);
        bitmaps = new BitmapCursor[source.Bitmaps.Count];
        isNeeded = new bool[bitmaps.Length];
        for (var i = 0; i < bitmaps.Length; i++)
        {
            bitmaps[i] = new BitmapCursor(source.Bitmaps[i]);
        }
    }

    /// <summary>
    /// Answers a request. Every reply gets at least one extent, the first one from <paramref name="offset"/> on. A reply ends
    /// at the end of the range, or where it is full; its last extent reaches beyond the range as far as is known without
    /// asking further.
    /// </summary>
    /// <param name="offset">First byte of the export.</param>
    /// <param name="length">Bytes, at least 1; the range lies in the export.</param>
    /// <param name="limit">The most extents of a context, at least 1.</param>
    /// <param name="one">One extent each, no longer than the range (NBD_CMD_FLAG_REQ_ONE).</param>
    /// <param name="into">A reply for each context that is wanted.</param>
    /// <exception cref="BlockException">The mapping could not be read.</exception>
    public async ValueTask QueryAsync(long offset, long length, int limit, bool one, IReadOnlyList<ContextReply> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(limit, 1);
        at = source.Offset + offset;
        rangeEnd = at + length;
        walkEnd = one ? rangeEnd : Math.Max(rangeEnd, Math.Min(source.End, reach > source.End - at ? source.End : at + reach));
        Begin(into, one ? 1 : limit);
        while (!Walk())
        {
            await mapping.MoveAsync(at, walkEnd).ConfigureAwait(false);
        }
    }

    /// <summary>Goes on as far as the mapping is known.</summary>
    /// <returns>False if it must be asked at the present place.</returns>
    private bool Walk()
    {
        for (; pieces < MaxPieces && at < walkEnd; pieces++)
        {
            var end = walkEnd;
            if (needsMapping)
            {
                if (!mapping.TryMove(at))
                {
                    return at >= rangeEnd;
                }

                end = Math.Min(end, mapping.End);
            }

            for (var i = 0; i < bitmaps.Length; i++)
            {
                if (isNeeded[i])
                {
                    bitmaps[i].Move(at, walkEnd);
                    end = Math.Min(end, bitmaps[i].End);
                }
            }

            if (!Append(end - at, mayBegin: at < rangeEnd))
            {
                return true;
            }

            at = end;
        }

        return true;
    }

    private void Begin(IReadOnlyList<ContextReply> into, int limit)
    {
        mapping.Begin();
        foreach (var cursor in bitmaps)
        {
            cursor.Begin();
        }

        pieces = 0;
        if (replies.Length != into.Count)
        {
            replies = new ContextReply[into.Count];
            flags = new uint[into.Count];
        }

        for (var i = 0; i < replies.Length; i++)
        {
            replies[i] = into[i];
            replies[i].Begin(limit);
        }

        SetNeeds();
    }

    /// <summary>Notes what the replies that are still open are made of.</summary>
    private void SetNeeds()
    {
        Array.Clear(isNeeded);
        needsMapping = false;
        foreach (var reply in replies)
        {
            var context = reply.Context;
            if (reply.IsClosed)
            {
                continue;
            }

            needsMapping |= context.Kind != MetaContextKind.DirtyBitmap;
            if (context.Kind == MetaContextKind.DirtyBitmap)
            {
                isNeeded[context.Bitmap] = true;
            }
            else if (context.Kind == MetaContextKind.Joint)
            {
                isNeeded.AsSpan(0, Math.Min(isNeeded.Length, NbdContextNames.JointBitmaps)).Fill(true);
            }
        }
    }

    /// <summary>Adds the present piece to all replies that are open.</summary>
    /// <param name="length">The piece's bytes.</param>
    /// <param name="mayBegin">The piece begins inside of the range asked about: an extent may begin there.</param>
    /// <returns>False if none is open any more.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Append(long length, bool mayBegin)
    {
        return replies.Length == 1
            ? replies[0].TryAppend(length, FlagsOf(replies[0].Context), mayBegin)
            : AppendSeveral(length, mayBegin);
    }

    private bool AppendSeveral(long length, bool mayBegin)
    {
        var continues = true;
        var hasRoom = mayBegin;
        for (var i = 0; i < replies.Length; i++)
        {
            flags[i] = replies[i].IsClosed ? 0 : FlagsOf(replies[i].Context);
            continues &= replies[i].IsContinuedBy(flags[i]);
            hasRoom &= replies[i].HasRoom;
        }

        if (isAligned)
        {
            if (!continues && !hasRoom)
            {
                return false;
            }

            AppendToAll(length, continues);
            return true;
        }

        bool open = false, closed = false;
        for (var i = 0; i < replies.Length; i++)
        {
            if (!replies[i].IsClosed)
            {
                var goesOn = replies[i].TryAppend(length, flags[i], mayBegin);
                open |= goesOn;
                closed |= !goesOn;
            }
        }

        if (closed)
        {
            SetNeeds();
        }

        return open;
    }

    private void AppendToAll(long length, bool continues)
    {
        for (var i = 0; i < replies.Length; i++)
        {
            if (continues)
            {
                replies[i].Grow(length);
            }
            else
            {
                replies[i].Add(length, flags[i]);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private uint FlagsOf(MetaContext context) => context.Kind switch
    {
        MetaContextKind.Allocation => (uint)mapping.Allocation,
        MetaContextKind.Depth => (uint)mapping.Depth,
        MetaContextKind.DirtyBitmap => bitmaps[context.Bitmap].IsDirty ? 1u : 0u,
        MetaContextKind.JointAllocation => Joined(),
        _ => Joined() | DirtyBits(),
    };

    private uint Joined() => (uint)mapping.Allocation
        | (uint)(mapping.Depth == 1 ? NbdJoint.Local : mapping.Depth > 1 ? NbdJoint.Backing : NbdJoint.None);

    private uint DirtyBits()
    {
        var bits = 0u;
        for (var i = 0; i < Math.Min(bitmaps.Length, NbdContextNames.JointBitmaps); i++)
        {
            bits |= bitmaps[i].IsDirty ? 1u << (NbdContextNames.JointFirstBitmap + i) : 0;
        }

        return bits;
    }
}
