using System.Net.Sockets;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;

namespace Byre.Tests.Nbd.Client;

/// <summary>The server's end of a connection: raw bytes, and the honest version of each step.</summary>
internal sealed class FakePeer(Socket socket) : IDisposable
{
    public const ulong DefaultSize = 1 << 20;

    /// <summary>What an export of the honest steps can do.</summary>
    public const NbdTransmissionFlags DefaultFlags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendFua
        | NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.SendDontFragment;

    /// <summary>The form that the client and the honest handshake agreed on.</summary>
    public NbdHeaderStyle Style { get; set; }

    public void Dispose() => socket.Dispose();

    public void Send(byte[] bytes)
    {
        for (var at = 0; at < bytes.Length;)
        {
            at += socket.Send(bytes.AsSpan(at));
        }
    }

    public void Send(FakeBytes bytes) => Send(bytes.Done);

    public byte[] Receive(long count)
    {
        var bytes = new byte[count];
        for (var at = 0; at < bytes.Length;)
        {
            var n = socket.Receive(bytes.AsSpan(at));
            at += n > 0 ? n : throw new EndOfStreamException();
        }

        return bytes;
    }

    /// <summary>Nothing more is sent; waits until the client has left.</summary>
    public void WaitForEnd()
    {
        var bytes = new byte[4096];
        while (socket.Receive(bytes) > 0)
        {
        }
    }

    public uint Greet(NbdHandshakeFlags flags = NbdHandshakeFlags.FixedNewStyle | NbdHandshakeFlags.NoZeroes)
    {
        Send(new FakeBytes().U64(NbdMagic.Initial).U64(NbdMagic.Option).U16((ushort)flags));
        var answer = Receive(4);
        return (uint)((answer[0] << 24) | (answer[1] << 16) | (answer[2] << 8) | answer[3]);
    }

    public (NbdOption Option, byte[] Data) ReadOption()
    {
        if (!NbdOptionHeader.TryRead(Receive(NbdOptionHeader.Size), out var header))
        {
            throw new InvalidOperationException("The client sends no option.");
        }

        return (header.Option, Receive(header.Length));
    }

    public void Reply(NbdOption option, NbdOptionReply reply, byte[]? data = null)
    {
        var head = new byte[NbdOptionReplyHeader.Size];
        new NbdOptionReplyHeader(option, reply, (uint)(data?.Length ?? 0)).Write(head);
        Send([.. head, .. data ?? []]);
    }

    /// <summary>Greets, and answers options honestly until one comes that the test wants to answer.</summary>
    /// <param name="style">The best form it agrees on.</param>
    /// <param name="until">The test answers this option; null: all are answered, and the transmission begins.</param>
    /// <param name="size">The export's length.</param>
    /// <param name="flags">What the export can do.</param>
    /// <param name="block">Block sizes, or null for none.</param>
    /// <param name="initial">The initial state, or null for none.</param>
    /// <param name="contexts">The contexts it selects, whatever is asked for; null for base:allocation, with the number 7.</param>
    /// <param name="before">Sees each option first; true: it has answered it.</param>
    public byte[] Handshake(
        NbdHeaderStyle style = NbdHeaderStyle.Structured,
        NbdOption? until = null,
        ulong size = DefaultSize,
        NbdTransmissionFlags flags = DefaultFlags,
        NbdBlockSize? block = null,
        NbdInitialState? initial = null,
        IReadOnlyList<NbdMetaContext>? contexts = null,
        Func<NbdOption, byte[], bool>? before = null)
    {
        Greet();
        while (true)
        {
            var (option, data) = ReadOption();
            if (option == until)
            {
                return data;
            }

            if (before?.Invoke(option, data) == true)
            {
                continue;
            }

            switch (option)
            {
                case NbdOption.ExtendedHeaders when style == NbdHeaderStyle.Extended:
                case NbdOption.StructuredReply when style == NbdHeaderStyle.Structured:
                    Style = style;
                    Reply(option, NbdOptionReply.Ack);
                    break;
                case NbdOption.SetMetaContext:
                    foreach (var (id, name) in contexts ?? [new(7, "base:allocation")])
                    {
                        Reply(option, NbdOptionReply.MetaContext, new FakeBytes().U32(id).Text(name).Done);
                    }

                    Reply(option, NbdOptionReply.Ack);
                    break;
                case NbdOption.Go or NbdOption.Info:
                    SendFacts(option, size, flags, block, initial);
                    Reply(option, NbdOptionReply.Ack);
                    if (option == NbdOption.Go)
                    {
                        return data;
                    }

                    break;
                case NbdOption.Abort:
                    Reply(option, NbdOptionReply.Ack);
                    throw new EndOfStreamException();
                default:
                    Reply(option, NbdOptionReply.ErrorUnsupported);
                    break;
            }
        }
    }

    public void SendFacts(
        NbdOption option, ulong size = DefaultSize, NbdTransmissionFlags flags = DefaultFlags, NbdBlockSize? block = null, NbdInitialState? initial = null)
    {
        var export = new byte[2 + NbdExportInfo.Size];
        new NbdExportInfo(size, flags).Write(export.AsSpan(2));
        Reply(option, NbdOptionReply.Info, export);
        if (block is { } sizes)
        {
            var bytes = new byte[2 + NbdBlockSize.Size];
            bytes[1] = (byte)NbdInfo.BlockSize;
            sizes.Write(bytes.AsSpan(2));
            Reply(option, NbdOptionReply.Info, bytes);
        }

        if (initial is { } state)
        {
            Reply(option, NbdOptionReply.Info, new FakeBytes().U16((int)NbdInfo.InitialState).U16((ushort)state).Done);
        }
    }

    /// <summary>The next request and its payload.</summary>
    public (NbdRequestHeader Header, byte[] Payload) ReadRequest()
    {
        if (!NbdRequestHeader.TryRead(Receive(NbdRequestHeader.SizeOf(Style)), Style, out var header))
        {
            throw new InvalidOperationException("The client sends no request.");
        }

        var hasPayload = Style == NbdHeaderStyle.Extended ? (header.Flags & NbdCommandFlags.PayloadLength) != 0 : header.Command == NbdCommand.Write;
        return (header, hasPayload ? Receive((long)header.Length) : []);
    }

    public void Simple(in NbdRequestHeader request, NbdError error = NbdError.None, byte[]? data = null)
    {
        var head = new byte[NbdReplyHeader.SimpleSize];
        NbdReplyHeader.Simple(request.Cookie, error).Write(head);
        Send([.. head, .. data ?? []]);
    }

    public void Chunk(in NbdRequestHeader request, NbdReplyType type, byte[] payload, bool done = true)
    {
        var head = new byte[NbdReplyHeader.SizeOf(Style)];
        NbdReplyHeader.Chunk(Style, done ? NbdReplyFlags.Done : NbdReplyFlags.None, type, request, (ulong)payload.Length).Write(head);
        Send([.. head, .. payload]);
    }

    public void Data(in NbdRequestHeader request, ulong offset, byte[] bytes, bool done = true) =>
        Chunk(request, NbdReplyType.OffsetData, new FakeBytes().U64(offset).Raw(bytes).Done, done);

    public void Hole(in NbdRequestHeader request, ulong offset, uint length, bool done = true) =>
        Chunk(request, NbdReplyType.OffsetHole, new FakeBytes().U64(offset).U32(length).Done, done);

    public void Done(in NbdRequestHeader request) => Chunk(request, NbdReplyType.None, []);

    /// <summary>Block status of one context.</summary>
    public void Status(in NbdRequestHeader request, uint context, (ulong Length, ulong Flags)[] extents, bool done = true)
    {
        var extended = Style == NbdHeaderStyle.Extended;
        var payload = new FakeBytes().U32(context);
        payload = extended ? payload.U32((uint)extents.Length) : payload;
        foreach (var (length, flags) in extents)
        {
            payload = extended ? payload.U64(length).U64(flags) : payload.U32((uint)length).U32((uint)flags);
        }

        Chunk(request, extended ? NbdReplyType.BlockStatusExtended : NbdReplyType.BlockStatus, payload.Done, done);
    }

    public void Error(in NbdRequestHeader request, NbdError error, string text = "", bool done = true) =>
        Chunk(request, NbdReplyType.Error, new FakeBytes().U32((uint)error).U16(text.Length).Text(text).Done, done);

    /// <summary>Answers everything honestly: the disk's bytes, block status that says data, success for all else.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="most">So many requests; negative for all.</param>
    public void Serve(byte[] disk, int most = -1)
    {
        for (; most != 0; most--)
        {
            var (request, payload) = ReadRequest();
            var (at, length) = ((int)request.Offset, (int)request.Length);
            switch (request.Command)
            {
                case NbdCommand.Disconnect:
                    return;
                case NbdCommand.Read when Style == NbdHeaderStyle.Simple:
                    Simple(request, data: disk[at..(at + length)]);
                    continue;
                case NbdCommand.Read:
                    Data(request, request.Offset, disk[at..(at + length)]);
                    continue;
                case NbdCommand.BlockStatus:
                    Status(request, 7, [((ulong)(disk.Length - at), 0)]);
                    continue;
                case NbdCommand.Write:
                    payload.CopyTo(disk, at);
                    break;
                case NbdCommand.WriteZeroes:
                    disk.AsSpan(at, length).Clear();
                    break;
            }

            if (Style == NbdHeaderStyle.Extended)
            {
                Done(request);
            }
            else
            {
                Simple(request);
            }
        }
    }
}
