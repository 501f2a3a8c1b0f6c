using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;

namespace Byre.Tests.Nbd.Server;

/// <summary>A client that sends what the test says, byte for byte, and takes replies apart by itself.</summary>
internal sealed class RawClient : IDisposable
{
    private NbdHeaderStyle style;
    private ulong lastCookie = 0x1122334455667700;

    public RawClient(SocketChannel channel)
    {
        Channel = channel;
        channel.SetReceiveTimeout(TimeSpan.FromSeconds(30));
        channel.SetSendTimeout(TimeSpan.FromSeconds(30));
    }

    public SocketChannel Channel { get; }

    /// <summary>The numbers of the contexts that were selected, by name.</summary>
    public Dictionary<string, uint> Contexts { get; } = new(StringComparer.Ordinal);

    /// <summary>The reply to a READ looks as the last option has made it.</summary>
    public NbdHeaderStyle Style
    {
        get => style;
        set => style = value;
    }

    public void Dispose() => Channel.Dispose();

    public static byte[] U16(int value)
    {
        var bytes = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)value);
        return bytes;
    }

    public static byte[] U32(uint value)
    {
        var bytes = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        return bytes;
    }

    public static byte[] U64(ulong value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        return bytes;
    }

    /// <summary>A text with its length before it.</summary>
    public static byte[] Text(string text) => [.. U32((uint)Encoding.UTF8.GetByteCount(text)), .. Encoding.UTF8.GetBytes(text)];

    public static uint ReadU32(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32BigEndian(bytes);

    public static ulong ReadU64(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt64BigEndian(bytes);

    public void Send(params ReadOnlySpan<byte> bytes) => Channel.Send(bytes);

    public byte[] Read(int count)
    {
        var bytes = new byte[count];
        Assert.True(Channel.ReceiveAll(bytes), $"the server has ended the connection, or was silent, where {count} bytes should come");
        return bytes;
    }

    /// <summary>Nothing more comes: the server has ended the connection.</summary>
    public void ExpectEnd()
    {
        try
        {
            Assert.Equal(0, Channel.Receive(new byte[1]));
        }
        catch (IOException)
        {
            // Reset: it left bytes unread.
        }
    }

    /// <summary>Reads the greeting and sends the flags.</summary>
    public void Greet(uint flags = 3)
    {
        Assert.Equal("NBDMAGICIHAVEOPT\0\u0003"u8.ToArray(), Read(18));
        Send(U32(flags));
    }

    public static byte[] OptionBytes(NbdOption option, params ReadOnlySpan<byte> data) =>
        [.. "IHAVEOPT"u8, .. U32((uint)option), .. U32((uint)data.Length), .. data];

    /// <summary>Sends an option, and reads all replies to it.</summary>
    public List<(NbdOptionReply Reply, byte[] Data)> Option(NbdOption option, params ReadOnlySpan<byte> data)
    {
        Send(OptionBytes(option, data));
        return OptionReplies(option);
    }

    public List<(NbdOptionReply Reply, byte[] Data)> OptionReplies(NbdOption option)
    {
        var replies = new List<(NbdOptionReply, byte[])>();
        while (true)
        {
            var head = Read(20);
            Assert.Equal(0x0003e889045565a9UL, ReadU64(head));
            Assert.Equal((uint)option, ReadU32(head.AsSpan(8)));
            var reply = (NbdOptionReply)ReadU32(head.AsSpan(12));
            replies.Add((reply, Read((int)ReadU32(head.AsSpan(16)))));
            if (reply == NbdOptionReply.Ack || (uint)reply >= 1u << 31)
            {
                return replies;
            }
        }
    }

    /// <summary>Sends an option that is answered by one reply.</summary>
    public NbdOptionReply OptionOnce(NbdOption option, params ReadOnlySpan<byte> data) => Assert.Single(Option(option, data)).Reply;

    public static byte[] GoData(string name, params int[] infos) => [.. Text(name), .. U16(infos.Length), .. infos.SelectMany(U16)];

    public static byte[] ContextData(string name, params string[] queries) =>
        [.. Text(name), .. U32((uint)queries.Length), .. queries.SelectMany(Text)];

    /// <summary>Selects contexts; returns their names.</summary>
    public string[] Select(string name, params string[] queries)
    {
        Contexts.Clear();
        var replies = Option(NbdOption.SetMetaContext, ContextData(name, queries));
        Assert.Equal(NbdOptionReply.Ack, replies[^1].Reply);
        foreach (var (_, data) in replies.SkipLast(1))
        {
            Contexts.Add(Encoding.UTF8.GetString(data.AsSpan(4)), ReadU32(data));
        }

        return [.. Contexts.Keys];
    }

    /// <summary>Negotiates and goes to the transmission phase.</summary>
    /// <returns>The transmission flags.</returns>
    public NbdTransmissionFlags Enter(string name, NbdHeaderStyle wanted, params string[] contexts)
    {
        style = wanted;
        if (wanted != NbdHeaderStyle.Simple)
        {
            Assert.Equal(
                NbdOptionReply.Ack,
                OptionOnce(wanted == NbdHeaderStyle.Extended ? NbdOption.ExtendedHeaders : NbdOption.StructuredReply));
        }

        if (contexts.Length > 0)
        {
            Assert.Equal(contexts.Length, Select(name, contexts).Length);
        }

        var replies = Option(NbdOption.Go, GoData(name));
        Assert.Equal(NbdOptionReply.Ack, replies[^1].Reply);
        var info = replies.First(reply => reply.Reply == NbdOptionReply.Info && reply.Data[1] == 0).Data;
        return (NbdTransmissionFlags)BinaryPrimitives.ReadUInt16BigEndian(info.AsSpan(10));
    }

    /// <summary>The bytes of a request in the style that was negotiated.</summary>
    public byte[] RequestBytes(NbdCommand command, ulong offset, ulong length, NbdCommandFlags flags, ReadOnlySpan<byte> payload, ulong cookie) => style == NbdHeaderStyle.Extended
        ? [.. U32(0x21e41c71), .. U16((int)flags), .. U16((int)command), .. U64(cookie), .. U64(offset), .. U64(length), .. payload]
        : [.. U32(0x25609513), .. U16((int)flags), .. U16((int)command), .. U64(cookie), .. U64(offset), .. U32((uint)length), .. payload];

    /// <summary>Sends a request; returns its cookie.</summary>
    public ulong SendRequest(NbdCommand command, ulong offset, ulong length, NbdCommandFlags flags = 0, params ReadOnlySpan<byte> payload)
    {
        Send(RequestBytes(command, offset, length, flags, payload, ++lastCookie));
        return lastCookie;
    }

    /// <summary>Sends a request and reads all of its reply; no other may be in flight.</summary>
    public RawReply Request(NbdCommand command, ulong offset, ulong length, NbdCommandFlags flags = 0, params ReadOnlySpan<byte> payload)
    {
        var cookie = SendRequest(command, offset, length, flags, payload);
        var reply = new RawReply(cookie, offset, command == NbdCommand.Read ? (int)Math.Min(length, 64 << 20) : 0);
        while (!ReadChunk(reply))
        {
        }

        return reply;
    }

    public RawReply WriteData(ulong offset, byte[] data, NbdCommandFlags flags = 0) =>
        Request(NbdCommand.Write, offset, (ulong)data.Length, flags | (style == NbdHeaderStyle.Extended ? NbdCommandFlags.PayloadLength : 0), data);

    /// <summary>Reads one reply, or one chunk of it.</summary>
    /// <returns>True after the last one.</returns>
    public bool ReadChunk(RawReply reply) => ReadNextChunk(new() { [reply.Cookie] = reply }) is not null;

    /// <summary>Reads one reply, or one chunk of it, to one of several requests.</summary>
    /// <returns>The reply, after its last chunk; else null.</returns>
    public RawReply? ReadNextChunk(Dictionary<ulong, RawReply> open)
    {
        var head = Read(style switch { NbdHeaderStyle.Simple => 16, NbdHeaderStyle.Structured => 20, _ => 32 });
        Assert.True(open.TryGetValue(ReadU64(head.AsSpan(8)), out var reply), "the reply has a cookie that no request had");
        if (style == NbdHeaderStyle.Simple)
        {
            Assert.Equal(0x67446698u, ReadU32(head));
            reply.Error = (NbdError)ReadU32(head.AsSpan(4));
            if (reply.Error == NbdError.None && reply.ReadLength > 0)
            {
                Read(reply.ReadLength).CopyTo(reply.Data, 0);
            }

            return reply;
        }

        Assert.Equal(style == NbdHeaderStyle.Extended ? 0x6e8a278cu : 0x668e33efu, ReadU32(head));
        if (style == NbdHeaderStyle.Extended)
        {
            Assert.Equal(reply.Offset, ReadU64(head.AsSpan(16)));
        }

        var length = style == NbdHeaderStyle.Extended ? ReadU64(head.AsSpan(24)) : ReadU32(head.AsSpan(16));
        Assert.True(length <= 64 << 20);
        reply.Take((NbdReplyType)BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(6)), Read((int)length));
        return (head[5] & 1) != 0 ? reply : null;
    }
}
