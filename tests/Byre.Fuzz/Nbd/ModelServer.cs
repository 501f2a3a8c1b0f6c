using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;

namespace Byre.Fuzz.Nbd;

/// <summary>A server of a <see cref="ModelDisk"/> for one client: an honest handshake, then all replies at once, damaged or not.</summary>
internal sealed class ModelServer : IDisposable
{
    private readonly Socket listening;
    private readonly Thread thread;

    /// <summary>Listens for one client.</summary>
    public ModelServer(string path, ModelDisk disk, NbdHeaderStyle style, int requests, Random random, bool isDamaged)
    {
        listening = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listening.Bind(new UnixDomainSocketEndPoint(path));
        listening.Listen(1);
        thread = new Thread(() => Run(disk, style, requests, random, isDamaged)) { IsBackground = true };
        thread.Start();
    }

    /// <summary>The replies were damaged so that some request must have failed for it; known when this is disposed.</summary>
    public bool MustShow { get; private set; }

    public void Dispose()
    {
        thread.Join();
        listening.Dispose();
    }

    private void Run(ModelDisk disk, NbdHeaderStyle style, int requests, Random random, bool isDamaged)
    {
        using var client = SocketChannel.TakeOver(listening.Accept());
        try
        {
            ShakeHands(client, style);
            var replies = new ModelReplies(random, disk, style);
            for (; requests > 0; requests--)
            {
                replies.Add(ReadRequest(client, style));
            }

            if (isDamaged)
            {
                MustShow = replies.Damage();
            }

            client.Send(replies.ToBytes());
            client.ShutdownSend();
            var rest = new byte[4096];
            while (client.Receive(rest) > 0)
            {
                // Until the client leaves.
            }
        }
        catch (IOException)
        {
            // The client has left, as it may when it sees the damage.
        }
    }

    private static void ShakeHands(SocketChannel client, NbdHeaderStyle style)
    {
        var greeting = new byte[18];
        BinaryPrimitives.WriteUInt64BigEndian(greeting, NbdMagic.Initial);
        BinaryPrimitives.WriteUInt64BigEndian(greeting.AsSpan(8), NbdMagic.Option);
        BinaryPrimitives.WriteUInt16BigEndian(greeting.AsSpan(16), (ushort)(NbdHandshakeFlags.FixedNewStyle | NbdHandshakeFlags.NoZeroes));
        client.Send(greeting);
        Receive(client, 4);
        for (var option = NbdOption.Abort; option != NbdOption.Go;)
        {
            NbdOptionHeader.TryRead(Receive(client, NbdOptionHeader.Size), out var header);
            Receive(client, (int)header.Length);
            option = header.Option;
            switch (option)
            {
                case NbdOption.SetMetaContext:
                    foreach (var (id, name) in ModelDisk.Contexts)
                    {
                        var number = new byte[4];
                        BinaryPrimitives.WriteUInt32BigEndian(number, id);
                        Reply(client, option, NbdOptionReply.MetaContext, [.. number, .. Encoding.ASCII.GetBytes(name)]);
                    }

                    break;
                case NbdOption.Go:
                    var export = new byte[2 + NbdExportInfo.Size];
                    new NbdExportInfo(
                        ModelDisk.Size,
                        NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes
                            | NbdTransmissionFlags.SendDontFragment).Write(export.AsSpan(2));
                    Reply(client, option, NbdOptionReply.Info, export);
                    var sizes = new byte[2 + NbdBlockSize.Size];
                    sizes[1] = (byte)NbdInfo.BlockSize;
                    new NbdBlockSize(ModelDisk.Block, 4096, NbdLimits.DefaultMaxPayload).Write(sizes.AsSpan(2));
                    Reply(client, option, NbdOptionReply.Info, sizes);
                    break;
            }

            var isWanted = option is NbdOption.SetMetaContext or NbdOption.Go
                || option == (style == NbdHeaderStyle.Extended ? NbdOption.ExtendedHeaders : NbdOption.StructuredReply);
            Reply(client, option, isWanted ? NbdOptionReply.Ack : NbdOptionReply.ErrorUnsupported, []);
        }
    }

    private static NbdRequestHeader ReadRequest(SocketChannel client, NbdHeaderStyle style)
    {
        NbdRequestHeader.TryRead(Receive(client, NbdRequestHeader.SizeOf(style)), style, out var request);
        if (request.Command == NbdCommand.Write)
        {
            Receive(client, (int)request.Length);
        }

        return request;
    }

    private static byte[] Receive(SocketChannel client, int count)
    {
        var bytes = new byte[count];
        return client.ReceiveAll(bytes) ? bytes : throw new IOException("the client has left");
    }

    private static void Reply(SocketChannel client, NbdOption option, NbdOptionReply reply, byte[] data)
    {
        var head = new byte[NbdOptionReplyHeader.Size];
        new NbdOptionReplyHeader(option, reply, (uint)data.Length).Write(head);
        client.Send(head, data);
    }
}
