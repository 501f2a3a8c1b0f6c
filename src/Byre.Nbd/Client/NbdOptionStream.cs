using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// The bytes of a handshake: options and their replies, each checked, none longer than it may be, all within a time. Waits on
/// the caller's thread. Receives nothing beyond what it is asked for, so TLS or the transmission can begin at any message's end.
/// </summary>
internal sealed class NbdOptionStream(SocketChannel channel, string server)
{
    /// <summary>The errno of a connection that the server closed.</summary>
    public const int ConnectionReset = 104;

    /// <summary>The errno of a server that is late.</summary>
    public const int TimedOut = 110;

    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    private long end;

    /// <summary>The connection.</summary>
    public SocketChannel Channel { get; private set; } = channel;

    /// <summary>The server's name in messages.</summary>
    public string Server => server;

    /// <summary>The connection is of no use any more: the server has left, is late, or breaks the protocol.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>What is left of the time; the greatest span for no limit.</summary>
    /// <exception cref="BlockException">Nothing is left.</exception>
    public TimeSpan Remaining
    {
        get
        {
            if (end == 0)
            {
                return TimeSpan.MaxValue;
            }

            var left = Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), end);
            return left > TimeSpan.Zero ? left : throw TooLate();
        }
    }

    /// <summary>The time for what follows begins.</summary>
    /// <param name="limit">Zero for no limit.</param>
    public void BeginTime(TimeSpan limit) =>
        end = limit > TimeSpan.Zero ? Stopwatch.GetTimestamp() + (long)(limit.TotalSeconds * Stopwatch.Frequency) : 0;

    /// <summary>The connection goes on over another channel.</summary>
    public void GoOnWith(SocketChannel secured) => Channel = secured;

    /// <summary>Receives exactly so many bytes.</summary>
    public void Receive(Span<byte> target)
    {
        while (!target.IsEmpty)
        {
            if (end != 0)
            {
                Channel.SetReceiveTimeout(Remaining);
            }

            int count;
            try
            {
                count = Channel.Receive(target);
            }
            catch (IOException e)
            {
                throw Closed(e.Message, e);
            }

            target = count > 0 ? target[count..] : throw (count == 0 ? Closed("it closed the connection", null) : TooLate());
        }
    }

    /// <summary>Sends bytes.</summary>
    public void Send(ReadOnlySpan<byte> bytes)
    {
        try
        {
            if (end != 0)
            {
                Channel.SetSendTimeout(Remaining);
            }

            Channel.Send(bytes);
        }
        catch (IOException e)
        {
            throw Closed(e.Message, e);
        }
    }

    /// <summary>Sends an option.</summary>
    public void SendOption(NbdOption option, ReadOnlySpan<byte> data)
    {
        var message = new byte[NbdOptionHeader.Size + data.Length];
        new NbdOptionHeader(option, (uint)data.Length).Write(message);
        data.CopyTo(message.AsSpan(NbdOptionHeader.Size));
        Send(message);
    }

    /// <summary>Receives one reply to an option.</summary>
    /// <param name="option">The option that was sent last.</param>
    /// <exception cref="BlockException">It is the reply to another option, or too long, or no reply at all.</exception>
    public (NbdOptionReply Reply, byte[] Data) ReceiveReply(NbdOption option)
    {
        Span<byte> head = stackalloc byte[NbdOptionReplyHeader.Size];
        Receive(head);
        if (!NbdOptionReplyHeader.TryRead(head, out var header))
        {
            throw Broken("what should be the reply to an option begins with a wrong number");
        }

        if (header.Option != option)
        {
            throw Broken($"it replies to option {(uint)header.Option}, and was sent option {(uint)option}");
        }

        if (header.Length > NbdLimits.MaxOptionData)
        {
            throw Broken($"the reply to option {(uint)option} has {header.Length} bytes");
        }

        if (header is { Reply: NbdOptionReply.Ack, Length: > 0 })
        {
            throw Broken($"the acknowledgement of option {(uint)option} carries data");
        }

        var data = header.Length == 0 ? [] : new byte[header.Length];
        Receive(data);
        return (header.Reply, data);
    }

    /// <summary>A string of the server.</summary>
    /// <param name="bytes">UTF-8, at most 4096 bytes, without NUL.</param>
    /// <param name="what">What it is, for the message.</param>
    public string Text(ReadOnlySpan<byte> bytes, string what)
    {
        if (bytes.Length > NbdLimits.MaxString)
        {
            throw Broken($"{what} has {bytes.Length} bytes, and may have {NbdLimits.MaxString}");
        }

        try
        {
            return bytes.Contains((byte)0) ? throw Broken($"{what} holds a NUL character") : Strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw Broken($"{what} is not UTF-8");
        }
    }

    /// <summary>The text that may come with an error; what is wrong with it is passed over.</summary>
    public static string? ErrorText(ReadOnlySpan<byte> data) =>
        data.IsEmpty ? null : Encoding.UTF8.GetString(data[..Math.Min(data.Length, NbdLimits.MaxString)]);

    /// <summary>The failure for a server that breaks the protocol.</summary>
    public BlockException Broken(string what) => Mark(NbdFailures.Broken(server, what));

    /// <summary>Writes a number of 32 bits and goes on behind it.</summary>
    public static Span<byte> Put(Span<byte> target, int number)
    {
        BinaryPrimitives.WriteInt32BigEndian(target, number);
        return target[sizeof(int)..];
    }

    private BlockException TooLate() => Mark(NbdFailures.NotConnected(server, "the server does not answer in time", errno: TimedOut));

    private BlockException Closed(string why, Exception? inner) =>
        Mark(NbdFailures.NotConnected(server, $"during the handshake: {why}", inner, ConnectionReset));

    private BlockException Mark(BlockException failure)
    {
        IsBroken = true;
        return failure;
    }
}
