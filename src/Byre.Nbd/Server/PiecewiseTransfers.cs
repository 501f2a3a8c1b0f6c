using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Storage;

namespace Byre.Nbd.Server;

/// <summary>
/// Long reads and writes through a small buffer, one piece after the other, for when the server's memory is used up: slower,
/// but no client waits for another one. The connection's thread waits for each piece.
/// </summary>
/// <param name="export">The export.</param>
/// <param name="style">The form of requests and replies.</param>
/// <param name="channel">The client.</param>
/// <param name="input">What has been received from it already.</param>
/// <param name="replies">Replies that leave first.</param>
/// <param name="failures">What failures mean.</param>
internal sealed class PiecewiseTransfers(
    NbdExport export, NbdHeaderStyle style, SocketChannel channel, ReceiveBuffer input, ReplyQueue replies, RequestFailures failures)
{
    /// <summary>The bytes of a piece.</summary>
    public const int Piece = 256 << 10;

    /// <summary>Answers a READ, whose range lies in the export.</summary>
    /// <param name="request">The request.</param>
    /// <exception cref="IOException">
    /// The connection failed; or the image did, after a part of a reply was sent that has no room for an error.
    /// </exception>
    public void Read(in NbdRequestHeader request)
    {
        // One head and then all data: so simple replies are, and what a client wants that sets DF.
        var isWhole = style == NbdHeaderStyle.Simple || (request.Flags & NbdCommandFlags.DontFragment) != 0;
        var head = ReplyFrames.ReadHeadSize(style);
        var length = (int)request.Length;
        replies.Send();
        using var buffer = BufferPool.Rent(head + Piece);
        for (var done = 0; done < length;)
        {
            var count = Math.Min(Piece, length - done);
            var data = buffer.Memory.Slice(head, count);
            var error = Run(export.Edge.ReadAsync(export.Offset + (long)request.Offset + done, data), request);
            if (error != NbdError.None && (done == 0 || !isWhole))
            {
                var failed = ReplyFrames.WriteError(buffer.Memory.Span, style, request, error, RequestFailures.Describe(error));
                channel.Send(buffer.Memory.Span[..failed]);
                return;
            }

            if (error != NbdError.None)
            {
                throw new IOException($"a part of its reply was sent when a read of the image failed ({error})");
            }

            var heads = done == 0 || !isWhole;
            if (isWhole && heads)
            {
                ReplyFrames.WriteReadHead(buffer.Memory.Span, style, request);
            }
            else if (heads)
            {
                ReplyFrames.WriteDataHead(
                    buffer.Memory.Span, style, request, request.Offset + (ulong)done, count, isLast: done + count == length);
            }

            channel.Send(heads ? buffer.Memory.Span[..(head + count)] : data.Span);
            done += count;
        }
    }

    /// <summary>Receives the payload of a WRITE, and writes it.</summary>
    /// <param name="request">The request, whose head has been taken off the input.</param>
    /// <param name="refusal">Why it may not be; the payload is received and dropped then.</param>
    /// <param name="error">How it ended. After a failure the rest of the payload is received and dropped.</param>
    /// <returns>False where the client has gone before the payload was there; a part of it may be written.</returns>
    /// <exception cref="IOException">The connection failed.</exception>
    public bool Write(in NbdRequestHeader request, NbdError refusal, out NbdError error)
    {
        error = refusal;
        var isDurable = export.IsWriteThrough || (request.Flags & NbdCommandFlags.Fua) != 0;
        var length = (int)request.Length;
        replies.Send();
        using var buffer = BufferPool.Rent(Piece);
        for (var done = 0; done < length;)
        {
            var data = buffer.Memory[..Math.Min(Piece, length - done)];
            if (!Receive(data.Span))
            {
                return false;
            }

            if (error == NbdError.None)
            {
                error = Run(export.Edge.WriteAsync(export.Offset + (long)request.Offset + done, data), request);
            }

            done += data.Length;
        }

        if (error == NbdError.None && isDurable)
        {
            error = Run(export.Edge.FlushAsync(), request);
        }

        return true;
    }

    private bool Receive(Span<byte> target)
    {
        var here = Math.Min(input.Available, target.Length);
        input.Take(here).Span.CopyTo(target);
        for (target = target[here..]; !target.IsEmpty;)
        {
            var count = channel.Receive(target);
            if (count == 0)
            {
                return false;
            }

            target = target[Math.Max(0, count)..];
        }

        return true;
    }

    private NbdError Run(ValueTask operation, in NbdRequestHeader request)
    {
        try
        {
            operation.AsTask().GetAwaiter().GetResult();
            return NbdError.None;
        }
        catch (Exception e)
        {
            return failures.Explain(e, request);
        }
    }
}
