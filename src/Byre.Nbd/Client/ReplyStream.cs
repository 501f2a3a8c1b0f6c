using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// What a server sends in the transmission. Small pieces come out of a buffer; long ones go from the socket to where they
/// belong. For one thread, which waits.
/// </summary>
internal sealed class ReplyStream(SocketChannel channel, string server)
{
    private const int BufferLength = 64 << 10;
    private const int Little = 64; // room for a header: more would be copied where a long payload follows

    private readonly byte[] buffer = GC.AllocateUninitializedArray<byte>(BufferLength, pinned: true);
    private int start;
    private int end;

    /// <summary>Something long is expected: no more than a header is read ahead.</summary>
    public bool ExpectsMuch { get; set; }

    /// <summary>The next bytes.</summary>
    /// <param name="count">How many, at most 4096.</param>
    /// <returns>Valid until the next call. Empty where nothing came in the time limit of the channel, and nothing has begun.</returns>
    public ReadOnlySpan<byte> Peek(int count)
    {
        while (end - start < count)
        {
            if (start > 0)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                (start, end) = (0, end - start);
            }

            var room = buffer.AsSpan(end);
            var n = Receive(ExpectsMuch ? room[..Math.Max(Little, count - end)] : room);
            if (n < 0)
            {
                return end == 0 ? [] : throw Silent();
            }

            end += n;
        }

        return buffer.AsSpan(start, count);
    }

    /// <summary>The next bytes, of something that has begun; they are taken.</summary>
    public ReadOnlySpan<byte> Take(int count)
    {
        var bytes = Peek(count);
        if (bytes.IsEmpty)
        {
            throw Silent();
        }

        start += count;
        return bytes;
    }

    /// <summary>Fills a buffer with what comes next.</summary>
    public void Fill(Span<byte> target)
    {
        var ready = Math.Min(target.Length, end - start);
        buffer.AsSpan(start, ready).CopyTo(target);
        start += ready;
        target = target[ready..];
        while (!target.IsEmpty)
        {
            var n = Receive(target, untilFull: true);
            target = n > 0 ? target[n..] : throw Silent();
        }
    }

    /// <summary>Passes over what comes next.</summary>
    public void Skip(long count)
    {
        while (count > 0)
        {
            var n = (int)Math.Min(count, 4096);
            Take(n);
            count -= n;
        }
    }

    private int Receive(Span<byte> target, bool untilFull = false)
    {
        try
        {
            var n = untilFull ? channel.ReceiveMuch(target) : channel.Receive(target);
            return n != 0 ? n : throw NbdFailures.Lost(server, "the server closed it");
        }
        catch (IOException e)
        {
            throw NbdFailures.Lost(server, e.Message, e);
        }
    }

    private BlockException Silent() => NbdFailures.Lost(server, "the server stopped in the middle of a reply");
}
