using System.Buffers.Binary;
using System.Collections.Concurrent;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;
using Byre.Nodes;

namespace Byre.Nbd.Server;

/// <summary>Answers the BLOCK_STATUS requests of one connection (section "NBD_CMD_BLOCK_STATUS").</summary>
/// <param name="export">The export.</param>
/// <param name="style">Structured or extended.</param>
/// <param name="contexts">The contexts that the client has selected, at least one.</param>
/// <param name="isAligned">All contexts of a reply get the same extent lengths.</param>
internal sealed class StatusRunner(NbdExport export, NbdHeaderStyle style, IReadOnlyList<MetaContext> contexts, bool isAligned)
{
    /// <summary>About what a question in flight holds at most, in bytes: the extents, and the reply that is made of them.</summary>
    public const int MostHeld = 2 * MostExtents * NbdStatusDescriptor.ExtendedSize;

    // All contexts of a reply together: 2 MiB of 64-bit descriptors.
    private const int MostExtents = 128 << 10;

    // The same where the server's memory is used up: the client asks again for the rest.
    private const int FewExtents = 2 << 10;

    private readonly ConcurrentBag<StatusQuestion> idle = [];

    /// <summary>Understands a request.</summary>
    /// <param name="request">The request; with the flag for it, the length is that of the payload.</param>
    /// <param name="payload">Effect length and numbers of contexts, or empty.</param>
    /// <returns>Null where it is not valid. The range is not checked yet.</returns>
    public StatusQuestion? Ask(in NbdRequestHeader request, ReadOnlySpan<byte> payload)
    {
        var hasPayload = (request.Flags & NbdCommandFlags.PayloadLength) != 0;
        var length = hasPayload && payload.Length >= sizeof(ulong) ? BinaryPrimitives.ReadUInt64BigEndian(payload) : request.Length;
        if (length is 0 or > long.MaxValue || (hasPayload && (payload.Length < sizeof(ulong) || payload.Length % sizeof(uint) != 0)))
        {
            return null;
        }

        if (!idle.TryTake(out var question))
        {
            question = new StatusQuestion(
                new ContextWalker(export.Source, isAligned, style), [.. contexts.Select(context => new ContextReply(context))]);
        }

        question.Length = (long)length;
        question.Wanted.Clear();
        if (!hasPayload)
        {
            question.Wanted.AddRange(question.All);
            return question;
        }

        for (var ids = payload[sizeof(ulong)..]; !ids.IsEmpty; ids = ids[sizeof(uint)..])
        {
            var id = BinaryPrimitives.ReadUInt32BigEndian(ids);
            var reply = Array.Find(question.All, reply => reply.Context.Id == id);
            if (reply is null || question.Wanted.Contains(reply))
            {
                Return(question);
                return null;
            }

            question.Wanted.Add(reply);
        }

        if (question.Wanted.Count > 0)
        {
            return question;
        }

        Return(question);
        return null;
    }

    /// <summary>Takes a question back that is not answered, or has been.</summary>
    public void Return(StatusQuestion? question)
    {
        if (question is null)
        {
            return;
        }

        foreach (var reply in question.All)
        {
            reply.Forget();
        }

        idle.Add(question);
    }

    /// <summary>Answers, and leaves finished chunks in the request's payload.</summary>
    /// <param name="question">The question; taken back.</param>
    /// <param name="pending">The request.</param>
    /// <exception cref="BlockException">The mapping could not be read.</exception>
    public async ValueTask AnswerAsync(StatusQuestion question, PendingRequest pending)
    {
        try
        {
            var isOne = (pending.Header.Flags & NbdCommandFlags.RequestOne) != 0;
            await question.Walker.QueryAsync(
                (long)pending.Header.Offset,
                question.Length,
                isOne ? 1 : Math.Max(1, (pending.IsFrugal ? FewExtents : MostExtents) / question.Wanted.Count),
                isOne,
                question.Wanted).ConfigureAwait(false);
            Frame(question.Wanted, pending);
        }
        finally
        {
            Return(question);
        }
    }

    private void Frame(List<ContextReply> wanted, PendingRequest pending)
    {
        var head = NbdReplyHeader.SizeOf(style);
        var fixedPart = style == NbdHeaderStyle.Extended ? 2 * sizeof(uint) : sizeof(uint);
        var each = NbdStatusDescriptor.SizeOf(style);
        var total = 0;
        foreach (var reply in wanted)
        {
            total += head + fixedPart + (reply.Count * each);
        }

        var target = pending.Rent(total).Memory.Span;
        var type = style == NbdHeaderStyle.Extended ? NbdReplyType.BlockStatusExtended : NbdReplyType.BlockStatus;
        for (var i = 0; i < wanted.Count; i++)
        {
            var reply = wanted[i];
            var flags = i == wanted.Count - 1 ? NbdReplyFlags.Done : NbdReplyFlags.None;
            NbdReplyHeader.Chunk(style, flags, type, pending.Header, (ulong)(fixedPart + (reply.Count * each))).Write(target);
            BinaryPrimitives.WriteUInt32BigEndian(target[head..], reply.Context.Id);
            if (style == NbdHeaderStyle.Extended)
            {
                BinaryPrimitives.WriteUInt32BigEndian(target[(head + sizeof(uint))..], (uint)reply.Count);
            }

            target = target[(head + fixedPart)..];
            NbdStatusDescriptor.WriteAll(reply.Items, target, style);
            target = target[(reply.Count * each)..];
        }

        pending.ChunkBytes = total;
    }
}
