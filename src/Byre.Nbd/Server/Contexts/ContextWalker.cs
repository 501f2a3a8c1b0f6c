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
    private uint[] flags = new uint[4];

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
        var rangeEnd = source.Offset + offset + length;
        var at = source.Offset + offset;
        var walkEnd = one ? rangeEnd : Math.Max(rangeEnd, Math.Min(source.End, reach > source.End - at ? source.End : at + reach));
        Begin(into, one ? 1 : limit);
        for (var pieces = 0; pieces < MaxPieces; pieces++)
        {
            var needsMapping = Needs(into);
            var end = walkEnd;
            if (needsMapping)
            {
                if (!mapping.TryMove(at))
                {
                    if (at >= rangeEnd)
                    {
                        break;
                    }

                    await mapping.MoveAsync(at, walkEnd).ConfigureAwait(false);
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

            if (!Append(into, end - at, mayBegin: at < rangeEnd))
            {
                break;
            }

            at = end;
            if (at >= walkEnd)
            {
                break;
            }
        }
    }

    private void Begin(IReadOnlyList<ContextReply> into, int limit)
    {
        mapping.Begin();
        foreach (var cursor in bitmaps)
        {
            cursor.Begin();
        }

        foreach (var reply in into)
        {
            reply.Begin(limit);
        }

        if (flags.Length < into.Count)
        {
            flags = new uint[into.Count];
        }
    }

    /// <summary>Notes what the replies that are still open are made of.</summary>
    /// <returns>The mapping is needed.</returns>
    private bool Needs(IReadOnlyList<ContextReply> into)
    {
        Array.Clear(isNeeded);
        var needsMapping = false;
        for (var i = 0; i < into.Count; i++)
        {
            var context = into[i].Context;
            if (into[i].IsClosed)
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

        return needsMapping;
    }

    /// <summary>Adds the present piece to all replies that are open.</summary>
    /// <param name="into">The replies.</param>
    /// <param name="length">The piece's bytes.</param>
    /// <param name="mayBegin">The piece begins inside of the range asked about: an extent may begin there.</param>
    /// <returns>False if none is open any more.</returns>
    private bool Append(IReadOnlyList<ContextReply> into, long length, bool mayBegin)
    {
        var continues = true;
        var hasRoom = mayBegin;
        for (var i = 0; i < into.Count; i++)
        {
            flags[i] = into[i].IsClosed ? 0 : FlagsOf(into[i].Context);
            continues &= into[i].IsContinuedBy(flags[i]);
            hasRoom &= into[i].HasRoom;
        }

        if (isAligned && !continues && !hasRoom)
        {
            return false;
        }

        var open = false;
        for (var i = 0; i < into.Count; i++)
        {
            var reply = into[i];
            if (reply.IsClosed)
            {
                continue;
            }

            if (isAligned ? continues : reply.IsContinuedBy(flags[i]))
            {
                reply.Grow(length);
            }
            else if (mayBegin && reply.HasRoom)
            {
                reply.Add(length, flags[i]);
            }
            else
            {
                reply.Close();
            }

            open |= !reply.IsClosed;
        }

        return open;
    }

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
