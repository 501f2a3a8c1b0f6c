using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// Reads the replies to requests and checks each against its request and the specification (sections "Simple reply message" to
/// "Structured reply types"). What a server breaks is a failure that ends the connection. Nothing it says sizes an allocation.
/// </summary>
internal sealed class ReplyParser(ReplyStream stream, NbdSession session)
{
    private const int LongestChunk = NbdLimits.DefaultMaxPayload + 64;
    private const int MostExtents = 1 << 20;

    /// <summary>Reads the head of a reply or of a chunk.</summary>
    /// <returns>Null where nothing came in the time limit of the channel.</returns>
    public NbdReplyHeader? ReadHeader()
    {
        var magic = stream.Peek(sizeof(uint));
        if (magic.IsEmpty)
        {
            return null;
        }

        var style = NbdReplyHeader.StyleOf(BinaryPrimitives.ReadUInt32BigEndian(magic));
        if (style is not { } found || (found != session.Style && (found, session.Style) is not (NbdHeaderStyle.Simple, NbdHeaderStyle.Structured)))
        {
            throw Broken(style is null ? "a reply begins with a wrong number" : $"it sends a {style.ToString()!.ToLowerInvariant()} reply, which was not agreed on");
        }

        NbdReplyHeader.TryRead(stream.Take(NbdReplyHeader.SizeOf(found)), out var header);
        return header;
    }

    /// <summary>Reads what belongs to the head.</summary>
    /// <returns>True if the reply has ended with it: then <see cref="NbdRequest.Error"/> says whether it failed.</returns>
    public bool ReadBody(in NbdReplyHeader header, NbdRequest request)
    {
        if (header.Style == NbdHeaderStyle.Simple)
        {
            ReadSimple(header, request);
            return true;
        }

        if (header.Style == NbdHeaderStyle.Extended && header.Offset != (ulong)request.Offset)
        {
            throw Broken($"a reply bears the offset {header.Offset} instead of {request.Offset}");
        }

        if (header.Length > LongestChunk)
        {
            throw Broken($"a chunk has {header.Length} bytes");
        }

        ReadChunk(header, request, (int)header.Length);
        if (!header.IsDone)
        {
            return false;
        }

        if (request.Error is null)
        {
            CheckComplete(request);
        }

        return true;
    }

    private void ReadSimple(in NbdReplyHeader header, NbdRequest request)
    {
        if (request.Command == NbdCommand.Read && session.Style != NbdHeaderStyle.Simple)
        {
            throw Broken("it answers a read with a simple reply, where structured ones were agreed on");
        }

        if (header.Error != NbdError.None)
        {
            request.Error ??= NbdFailures.Answered(session.Server, request.Command, request.Offset, header.Error, null);
        }
        else if (request.Command == NbdCommand.Read)
        {
            stream.Fill(request.Target.Span);
        }
        else if (request.Error is null)
        {
            CheckComplete(request);
        }
    }

    private void ReadChunk(in NbdReplyHeader header, NbdRequest request, int length)
    {
        switch (header.Type)
        {
            case NbdReplyType.None when length == 0 && header.IsDone:
                break;
            case NbdReplyType.None:
                throw Broken(length > 0 ? "an empty chunk has a payload" : "an empty chunk does not end its reply");
            case NbdReplyType.OffsetData when request.Command == NbdCommand.Read:
                ReadData(request, length);
                break;
            case NbdReplyType.OffsetHole when request.Command == NbdCommand.Read:
                ReadHole(request, length);
                break;
            case NbdReplyType.BlockStatus when request.Command == NbdCommand.BlockStatus && session.Style == NbdHeaderStyle.Structured:
            case NbdReplyType.BlockStatusExtended when request.Command == NbdCommand.BlockStatus && session.Style == NbdHeaderStyle.Extended:
                ReadStatus(request, length);
                break;
            case var _ when header.IsError:
                ReadError(header, request, length);
                break;
            default:
                throw Broken($"it sends a chunk of type {(ushort)header.Type} as the reply to command {(ushort)request.Command}");
        }
    }

    private void ReadData(NbdRequest request, int length)
    {
        const int head = sizeof(ulong);
        if (length <= head)
        {
            throw Broken("a chunk of data has no data");
        }

        var offset = BinaryPrimitives.ReadUInt64BigEndian(stream.Take(head));
        stream.Fill(request.Target.Span.Slice(Content(request, offset, length - head), length - head));
    }

    private void ReadHole(NbdRequest request, int length)
    {
        const int exact = sizeof(ulong) + sizeof(uint);
        if (length != exact)
        {
            throw Broken($"a hole's chunk has {length} bytes");
        }

        var content = stream.Take(exact);
        var offset = BinaryPrimitives.ReadUInt64BigEndian(content);
        var size = BinaryPrimitives.ReadUInt32BigEndian(content[sizeof(ulong)..]);
        if (size == 0)
        {
            throw Broken("a hole has no length");
        }

        request.Target.Span.Slice(Content(request, offset, size), (int)size).Clear();
    }

    /// <summary>Notes a piece of a read.</summary>
    /// <returns>Where it begins in the request's buffer.</returns>
    private int Content(NbdRequest request, ulong offset, long length)
    {
        var end = (ulong)(request.Offset + request.Length);
        if (offset < (ulong)request.Offset || offset >= end || (ulong)length > end - offset)
        {
            throw Broken($"it sends the bytes {offset}+{length} for a read of {request.Offset}+{request.Length}");
        }

        if (request.HasContent && (request.Flags & NbdCommandFlags.DontFragment) != 0)
        {
            throw Broken("it fragments a read that was not to be fragmented");
        }

        request.HasContent = true;
        var start = (long)offset - request.Offset;
        return request.Coverage.Add(start, start + length) is { } wrong ? throw Broken(wrong) : (int)start;
    }

    private void ReadError(in NbdReplyHeader header, NbdRequest request, int length)
    {
        const int head = sizeof(uint) + sizeof(ushort);
        var tail = header.Type == NbdReplyType.ErrorOffset ? sizeof(ulong) : 0;
        if (length < head + tail)
        {
            throw Broken($"the chunk of an error has {length} bytes");
        }

        var content = stream.Take(head);
        var error = (NbdError)BinaryPrimitives.ReadUInt32BigEndian(content);
        var textLength = BinaryPrimitives.ReadUInt16BigEndian(content[sizeof(uint)..]);
        if (error == NbdError.None || textLength > NbdLimits.MaxString || textLength > length - head - tail)
        {
            throw Broken(error == NbdError.None ? "an error has no number" : "the text of an error is longer than it may be");
        }

        var text = textLength == 0 ? null : Encoding.UTF8.GetString(stream.Take(textLength));
        var at = request.Offset;
        if (tail > 0)
        {
            var offset = BinaryPrimitives.ReadUInt64BigEndian(stream.Take(tail));
            at = offset >= (ulong)request.Offset && offset - (ulong)request.Offset < (ulong)Math.Max(1, request.Length)
                ? (long)offset
                : throw Broken($"it tells of an error at byte {offset}, outside of the request at {request.Offset}+{request.Length}");
        }

        stream.Skip(length - head - textLength - tail);
        request.Error ??= NbdFailures.Answered(session.Server, request.Command, at, error, text);
    }

    private void ReadStatus(NbdRequest request, int length)
    {
        var extended = session.Style == NbdHeaderStyle.Extended;
        var head = extended ? 2 * sizeof(uint) : sizeof(uint);
        var size = NbdStatusDescriptor.SizeOf(session.Style);
        var count = (length - head) / size;
        if (length <= head || (length - head) % size != 0 || count > MostExtents)
        {
            throw Broken($"a chunk of block status has {length} bytes");
        }

        var content = stream.Take(head);
        var context = ContextOf(request, BinaryPrimitives.ReadUInt32BigEndian(content));
        if (extended && BinaryPrimitives.ReadUInt32BigEndian(content[sizeof(uint)..]) != count)
        {
            throw Broken("a chunk of block status counts its extents wrongly");
        }

        if (count > 1 && (request.Flags & NbdCommandFlags.RequestOne) != 0)
        {
            throw Broken($"it sends {count} extents where one was asked for");
        }

        ReadExtents(request, context, count, size);
    }

    private void ReadExtents(NbdRequest request, int context, int count, int size)
    {
        var isBase = session.Contexts[context].Name == NbdContextNames.BaseAllocation;
        var toEnd = (ulong)Math.Max(0, session.Size - request.Offset);
        ulong told = 0;
        for (var i = 0; i < count; i++)
        {
            var extent = NbdStatusDescriptor.Read(stream.Take(size), session.Style);
            if (extent.Length == 0 || told >= (ulong)request.Length)
            {
                throw Broken(extent.Length == 0 ? "an extent has no length" : "extents follow the end of the range asked about");
            }

            if ((request.Flags & NbdCommandFlags.RequestOne) != 0 && extent.Length > (ulong)request.Length)
            {
                throw Broken("an extent reaches beyond a range that it was not to leave");
            }

            if (isBase && extent.Flags > uint.MaxValue)
            {
                throw Broken("the status of an extent has more than 32 bits");
            }

            // The last one may reach beyond the range, but never beyond the export, whatever the server says. That all are of
            // whole blocks is required too; of base:allocation nbdkit's blocksize-policy filter passes on others, and they do no harm.
            var length = Math.Min(extent.Length, toEnd - told);
            if (!isBase && length % (ulong)session.MinimumBlock != 0 && told + length != toEnd)
            {
                throw Broken($"an extent has {extent.Length} bytes, no multiple of the minimum block size");
            }

            if (length > 0) // none is left where a resize has cut the export off meanwhile
            {
                request.Sink!.Add(context, extent with { Length = length });
            }

            told += length;
        }
    }

    private int ContextOf(NbdRequest request, uint id)
    {
        for (var i = 0; i < session.Contexts.Count; i++)
        {
            if (session.Contexts[i].Id == id)
            {
                var bit = 1UL << i;
                if ((request.ContextsSeen & bit) != 0)
                {
                    throw Broken($"the status of context {id} comes twice");
                }

                request.ContextsSeen |= bit;
                return i;
            }
        }

        throw Broken($"it sends the status of the unknown context {id}");
    }

    /// <summary>The server calls the request done: then it has said all it owes.</summary>
    private void CheckComplete(NbdRequest request)
    {
        if (request.Command == NbdCommand.Read && !request.Coverage.Covers(request.Length))
        {
            throw Broken($"it ends the reply to a read of {request.Offset}+{request.Length} without all of the data");
        }

        if (request.Command == NbdCommand.BlockStatus && request.ContextsSeen != request.ContextsWanted)
        {
            throw Broken("it ends the reply about block status without all contexts");
        }
    }

    private BlockException Broken(string what) => NbdFailures.Broken(session.Server, what);
}
