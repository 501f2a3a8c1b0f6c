using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;

namespace Byre.Fuzz.Nbd;

/// <summary>The right replies to requests, and what a broken or hostile server may make of them where a client can see it.</summary>
internal sealed class ModelReplies(Random random, ModelDisk disk, NbdHeaderStyle style)
{
    private const int Cookie = 8; // where it is in every head

    private static readonly ulong[] Extremes =
    [
        0, 1, 2, 5, 6, 0x7f, 0xff, 0x7fff, 0x8000, 0x8001, 0x8002, 0xffff, 512, 4096, 4097, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1UL << 32, 1UL << 63,
        ulong.MaxValue, 32 << 20, NbdMagic.SimpleReply, NbdMagic.StructuredReply, NbdMagic.ExtendedReply,
    ];

    private readonly List<Chunk> chunks = [];
    private bool isVague; // a chunk that may be another one now may hide what else is wrong with it

    /// <summary>Adds the reply to a request.</summary>
    public void Add(in NbdRequestHeader request)
    {
        var reply = new List<Chunk>();
        if (disk.Fails(request.Command, (long)request.Offset))
        {
            AddError(reply, request);
        }
        else if (request.Command == NbdCommand.Read)
        {
            AddData(reply, request);
        }
        else if (request.Command == NbdCommand.BlockStatus)
        {
            AddStatus(reply, request);
        }
        else if (style == NbdHeaderStyle.Extended || (style == NbdHeaderStyle.Structured && random.Next(2) == 0))
        {
            reply.Add(Head(request, NbdReplyType.None));
        }
        else
        {
            reply.Add(Simple(request, NbdError.None, []));
        }

        // Chunks of a reply may come in any order, and those of other replies between them.
        random.Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(reply));
        if (reply[^1] is { IsSimple: false, IsEmpty: false } && random.Next(3) == 0)
        {
            reply.Add(Head(request, NbdReplyType.None));
        }

        if (!reply[^1].IsSimple)
        {
            reply[^1].Bytes[5] |= (byte)NbdReplyFlags.Done;
        }

        var at = chunks.Count;
        for (var i = reply.Count - 1; i >= 0; i--)
        {
            at = random.Next(2) == 0 ? at : random.Next(at + 1);
            chunks.Insert(at, reply[i]);
        }
    }

    /// <summary>Damages what a client can see to be damaged: it cannot see other bytes of data, other flags, or a cookie of another request.</summary>
    /// <returns>The client must see it: some request must fail for it.</returns>
    public bool Damage()
    {
        var (mustShow, mayHide, isMoved) = (false, false, false); // moved once: a second time might undo it
        var most = random.Next(1, 4);
        isVague = most > 1; // one damage may hide another
        for (var count = most; count > 0; count--)
        {
            var at = random.Next(chunks.Count);
            switch (random.Next(16))
            {
                case 0 when !chunks[at].IsError && !isMoved:
                    isMoved = true;
                    chunks.RemoveAt(at);
                    if (chunks.Count == 0)
                    {
                        return !isVague;
                    }

                    mustShow |= !mayHide;
                    break;
                case 1 when !isMoved:
                    isMoved = true;
                    var place = random.Next(at, chunks.Count) + 1; // an end that came early would be an answer
                    mayHide |= place == chunks.Count; // behind everything that anybody waits for
                    mustShow |= !mayHide && !chunks[at].IsError;
                    chunks.Insert(place, chunks[at]);
                    break;
                case 2 when !isMoved:
                    isMoved = true;
                    var noise = new byte[random.Next(1, 40)];
                    random.NextBytes(noise);
                    chunks.Insert(at, new Chunk(noise, false, true) { Numbers = [] });
                    mustShow |= !mayHide;
                    break;
                case 3:
                    chunks[at] = chunks[at] with { Bytes = chunks[at].Bytes[..random.Next(chunks[at].Bytes.Length)], Numbers = [] };
                    chunks.RemoveRange(at + 1, chunks.Count - at - 1);
                    return (mustShow || !mayHide) && !isVague;
                default:
                    mustShow |= DamageNumber(chunks[at]) && !mayHide;
                    break;
            }
        }

        return mustShow && !isVague;
    }

    /// <summary>All of it, as it is sent.</summary>
    public byte[] ToBytes() => [.. chunks.SelectMany(chunk => chunk.Bytes)];

    /// <summary>Changes a number.</summary>
    /// <returns>No client may take it for right.</returns>
    private bool DamageNumber(Chunk chunk)
    {
        if (chunk.Numbers.Count == 0)
        {
            return false;
        }

        var which = random.Next(chunk.Numbers.Count);
        var (at, width) = chunk.Numbers[which];
        chunk.Numbers.RemoveAt(which); // changed again it might be as it was
        var number = chunk.Bytes.AsSpan(at, width);
        if (chunk.Extents.Contains(at))
        {
            number[^1] ^= 1; // no multiple of a block any more; another multiple would be an answer, too
            return true;
        }

        ReadOnlySpan<byte> before = [.. number];
        Span<byte> bytes = stackalloc byte[8];
        switch (random.Next(4))
        {
            case 0:
                number[random.Next(width)] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                random.NextBytes(number);
                break;
            case 2:
                number[^1] += (byte)(random.Next(2) == 0 ? 1 : 255);
                break;
            default:
                BinaryPrimitives.WriteUInt64BigEndian(bytes, Extremes[random.Next(Extremes.Length)]);
                bytes[^width..].CopyTo(number);
                break;
        }

        if (at == Cookie)
        {
            number[0] |= 0x80; // of no request
        }

        isVague |= chunk.Vague.Contains(at);
        return !before.SequenceEqual(number);
    }

    private Chunk Simple(in NbdRequestHeader request, NbdError error, ReadOnlySpan<byte> data)
    {
        var bytes = new byte[NbdReplyHeader.SimpleSize + data.Length];
        NbdReplyHeader.Simple(request.Cookie, error).Write(bytes);
        data.CopyTo(bytes.AsSpan(NbdReplyHeader.SimpleSize));

        // An error that is none any more is a success to any client.
        return new Chunk(bytes, error != NbdError.None, true)
        {
            Numbers = error == NbdError.None ? [(0, 4), (4, 4), (Cookie, 8)] : [(0, 4), (Cookie, 8)],
            Vague = [4],
        };
    }

    private Chunk Head(in NbdRequestHeader request, NbdReplyType type, ReadOnlySpan<byte> payload = default, params ReadOnlySpan<(int At, int Width)> numbers)
    {
        var size = NbdReplyHeader.SizeOf(style);
        var bytes = new byte[size + payload.Length];
        var header = NbdReplyHeader.Chunk(style, NbdReplyFlags.None, type, request, (ulong)payload.Length);
        header.Write(bytes);
        payload.CopyTo(bytes.AsSpan(size));
        var chunk = new Chunk(bytes, header.IsError, false) { Numbers = [(0, 4), (4, 2), (6, 2), (Cookie, 8)], Vague = [4, 6], IsEmpty = payload.IsEmpty };
        chunk.Numbers.AddRange(style == NbdHeaderStyle.Extended ? [(16, 8), (24, 8)] : [(16, 4)]);
        foreach (var (at, width) in numbers)
        {
            chunk.Numbers.Add((size + at, width));
            chunk.Vague.AddRange(header.IsError ? [size + at] : []);
        }

        return chunk;
    }

    private void AddError(List<Chunk> reply, in NbdRequestHeader request)
    {
        if (style == NbdHeaderStyle.Simple || (style == NbdHeaderStyle.Structured && request.Command != NbdCommand.Read && random.Next(2) == 0))
        {
            reply.Add(Simple(request, NbdError.Io, []));
            return;
        }

        var text = Encoding.ASCII.GetBytes(new string('x', random.Next(20)));
        var hasOffset = random.Next(2) == 0;
        var payload = new byte[6 + text.Length + (hasOffset ? 8 : 0)];
        BinaryPrimitives.WriteUInt32BigEndian(payload, (uint)NbdError.NoSpace);
        BinaryPrimitives.WriteUInt16BigEndian(payload.AsSpan(4), (ushort)text.Length);
        text.CopyTo(payload.AsSpan(6));
        if (hasOffset)
        {
            BinaryPrimitives.WriteUInt64BigEndian(payload.AsSpan(6 + text.Length), request.Offset);
            reply.Add(Head(request, NbdReplyType.ErrorOffset, payload, (0, 4), (4, 2), (6 + text.Length, 8)));
        }
        else
        {
            reply.Add(Head(request, NbdReplyType.Error, payload, (0, 4), (4, 2)));
        }
    }

    private void AddData(List<Chunk> reply, in NbdRequestHeader request)
    {
        var data = disk.Bytes.AsSpan((int)request.Offset, (int)request.Length);
        if (style == NbdHeaderStyle.Simple)
        {
            reply.Add(Simple(request, NbdError.None, data));
            return;
        }

        var isWhole = (request.Flags & NbdCommandFlags.DontFragment) != 0;
        for (var at = 0; at < data.Length;)
        {
            var length = isWhole ? data.Length : Math.Min(data.Length - at, random.Next(1, 40) * 512);
            var piece = data.Slice(at, length);
            var offset = new byte[8];
            BinaryPrimitives.WriteUInt64BigEndian(offset, request.Offset + (ulong)at);
            if (piece.ContainsAnyExcept((byte)0))
            {
                reply.Add(Head(request, NbdReplyType.OffsetData, [.. offset, .. piece], (0, 8)));
            }
            else
            {
                var size = new byte[4];
                BinaryPrimitives.WriteInt32BigEndian(size, length);
                reply.Add(Head(request, NbdReplyType.OffsetHole, [.. offset, .. size], (0, 8), (8, 4)));
            }

            at += length;
        }
    }

    private void AddStatus(List<Chunk> reply, in NbdRequestHeader request)
    {
        var extended = style == NbdHeaderStyle.Extended;
        for (var i = 0; i < ModelDisk.Contexts.Count; i++)
        {
            var extents = disk.ExtentsOf(i, (long)request.Offset, (long)request.Length);
            if ((long)request.Offset + extents.Sum(extent => (long)extent.Length) == ModelDisk.Size && random.Next(2) == 0)
            {
                extents[^1] = extents[^1] with { Length = extents[^1].Length + (1 << 30) }; // further than there is anything
            }

            var (head, each) = (extended ? 8 : 4, NbdStatusDescriptor.SizeOf(style));
            var payload = new byte[head + (each * extents.Count)];
            BinaryPrimitives.WriteUInt32BigEndian(payload, ModelDisk.Contexts[i].Id);
            if (extended)
            {
                BinaryPrimitives.WriteInt32BigEndian(payload.AsSpan(4), extents.Count);
            }

            NbdStatusDescriptor.WriteAll([.. extents], payload.AsSpan(head), style);
            var chunk = Head(request, extended ? NbdReplyType.BlockStatusExtended : NbdReplyType.BlockStatus, payload, (0, 4));
            var start = NbdReplyHeader.SizeOf(style);
            chunk.Numbers.AddRange(extended ? [(start + 4, 4)] : []);
            if (extents.Count > 1 && ModelDisk.Contexts[i].Name != NbdContextNames.BaseAllocation)
            {
                // Those of base:allocation are taken as they are.
                var place = start + head + (random.Next(extents.Count - 1) * each);
                chunk.Extents.Add(place);
                chunk.Numbers.Add((place, each / 2));
            }

            reply.Add(chunk);
        }
    }

    private sealed record Chunk(byte[] Bytes, bool IsError, bool IsSimple)
    {
        /// <summary>Numbers that a client can check.</summary>
        public required List<(int At, int Width)> Numbers { get; init; }

        /// <summary>It only ends a reply.</summary>
        public bool IsEmpty { get; init; }

        /// <summary>Those of them that may be other ones: flags, types, what is told of errors.</summary>
        public List<int> Vague { get; init; } = [];

        /// <summary>Those of them that are lengths of extents.</summary>
        public List<int> Extents { get; } = [];
    }
}
