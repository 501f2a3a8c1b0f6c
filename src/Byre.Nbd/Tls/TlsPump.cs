using System.Buffers;
using System.Runtime.InteropServices;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Tls;

/// <summary>
/// Carries bytes between an encrypted socket and one end of a pair, whose other end a server or client uses as if there were no
/// TLS. Runs on one thread until both sides have ended: OpenSSL lets one thread at a time use a session. Each side that does
/// not read holds up the other one, and no more than a buffer a direction is kept.
/// </summary>
internal sealed unsafe class TlsPump(TlsSession session, SocketChannel network, SocketChannel plain)
{
    /// <summary>Four full records.</summary>
    private const int BufferBytes = 64 * 1024;

    /// <summary>An idle connection gives its buffers back after so long.</summary>
    private const int IdleMilliseconds = 1000;

    /// <summary>The owner of the plain end has gone: what he sent last is given so long to leave.</summary>
    private const int LingerMilliseconds = 1000;

    private readonly Transfer incoming = new();
    private readonly Transfer outgoing = new();

    /// <summary>Nothing more comes from the network.</summary>
    private bool networkEnded;

    /// <summary>Nothing more can be sent to the network.</summary>
    private bool networkFailed;

    /// <summary>Nothing more comes from the plain side.</summary>
    private bool plainEnded;

    /// <summary>Nobody reads what is sent to the plain side.</summary>
    private bool plainGone;

    private bool toldPlain;
    private bool toldNetwork;
    private short readWants;
    private short writeWants;
    private long lingersUntil = long.MaxValue;

    /// <summary>Runs until it is done. Disposes neither the session nor the sockets.</summary>
    public void Run()
    {
        try
        {
            while (!IsOver)
            {
                var moved = MoveIn() | MoveOut();
                if (!moved && !IsOver)
                {
                    Wait();
                }
            }
        }
        finally
        {
            incoming.Release();
            outgoing.Release();
        }
    }

    private bool IsOver =>
        ((toldNetwork || networkFailed) && (plainGone || (toldPlain && plainEnded))) || Environment.TickCount64 >= lingersUntil;

    /// <summary>From the network to the plain side; true if anything went on.</summary>
    private bool MoveIn()
    {
        var moved = false;
        if (incoming.IsEmpty && !networkEnded)
        {
            moved = Decrypt();
        }

        if (!incoming.IsEmpty)
        {
            try
            {
                var sent = plainGone ? incoming.Content.Length : plain.TrySend(incoming.Content);
                incoming.Drop(sent);
                moved |= sent > 0;
            }
            catch (IOException)
            {
                LosePlain();
                moved = true;
            }
        }

        if (networkEnded && incoming.IsEmpty && !toldPlain)
        {
            toldPlain = true;
            plain.ShutdownSend();
            moved = true;
        }

        return moved;
    }

    private bool Decrypt()
    {
        readWants = SocketCalls.PollIn;
        while (!incoming.IsFull)
        {
            switch (session.Read(incoming.Room(BufferBytes), out var count))
            {
                case TlsStep.Done:
                    incoming.Add(count);
                    break;
                case TlsStep.WantsRead:
                    return !incoming.IsEmpty;
                case TlsStep.WantsWrite:
                    readWants = SocketCalls.PollOut;
                    return !incoming.IsEmpty;
                default:
                    networkEnded = true;
                    return true;
            }
        }

        return true;
    }

    /// <summary>From the plain side to the network; true if anything went on.</summary>
    private bool MoveOut()
    {
        var moved = false;
        if (outgoing.IsEmpty && !plainEnded)
        {
            moved = Take();
        }

        if (!outgoing.IsEmpty)
        {
            moved |= Encrypt();
        }

        if (plainEnded && outgoing.IsEmpty && !toldNetwork && !networkFailed)
        {
            // Whether the word still reaches the peer, who may have gone, is of no weight.
            _ = session.End();
            toldNetwork = true;
            network.ShutdownSend();
            moved = true;
        }

        return moved;
    }

    private bool Take()
    {
        int count;
        try
        {
            count = plain.TryReceive(outgoing.Room(BufferBytes));
        }
        catch (IOException)
        {
            count = 0;
        }

        if (count > 0)
        {
            outgoing.Add(count);
        }

        plainEnded = count == 0;
        return count >= 0;
    }

    private bool Encrypt()
    {
        if (networkFailed)
        {
            outgoing.Drop(outgoing.Content.Length);
            return true;
        }

        writeWants = 0;
        switch (session.Write(outgoing.Content, out var count))
        {
            case TlsStep.Done:
                outgoing.Drop(count);
                return true;
            case TlsStep.WantsRead:
                writeWants = SocketCalls.PollIn;
                return false;
            case TlsStep.WantsWrite:
                writeWants = SocketCalls.PollOut;
                return false;
            default:
                networkFailed = true;
                return true;
        }
    }

    private void Wait()
    {
        var onNetwork = (short)((incoming.IsEmpty && !networkEnded ? readWants : 0) | (outgoing.IsEmpty ? 0 : writeWants));
        var onPlain = (short)((outgoing.IsEmpty && !plainEnded ? SocketCalls.PollIn : 0) | (incoming.IsEmpty ? 0 : SocketCalls.PollOut));
        var holdsBuffers = incoming.HasBuffer || outgoing.HasBuffer;
        var isIdle = incoming.IsEmpty && outgoing.IsEmpty;
        var timeout = lingersUntil != long.MaxValue ? (int)Math.Clamp(lingersUntil - Environment.TickCount64, 0, LingerMilliseconds)
            : isIdle && holdsBuffers ? IdleMilliseconds : -1;
        var entries = stackalloc SocketCalls.PollEntry[2];
        entries[0] = new SocketCalls.PollEntry { Descriptor = onNetwork == 0 ? -1 : Descriptor(network), Events = onNetwork };

        // The pair is watched for its other end being closed even where nothing is wanted of it, but once that was seen.
        entries[1] = new SocketCalls.PollEntry { Descriptor = plainGone ? -1 : Descriptor(plain), Events = onPlain };
        var count = SocketCalls.Poll(entries, 2, timeout);
        if (count == 0 && isIdle && lingersUntil == long.MaxValue)
        {
            incoming.Release();
            outgoing.Release();
            count = SocketCalls.Poll(entries, 2, -1);
        }

        if (count < 0 && Marshal.GetLastPInvokeError() != SocketCalls.Interrupted)
        {
            throw SocketChannel.Failure("poll", Marshal.GetLastPInvokeError());
        }

        if (count > 0 && (entries[1].Returned & (SocketCalls.PollHangUp | SocketCalls.PollError)) != 0)
        {
            LosePlain();
        }
    }

    private void LosePlain()
    {
        plainGone = true;
        lingersUntil = Environment.TickCount64 + LingerMilliseconds;
    }

    /// <summary>The pump's thread is the only one that closes these.</summary>
    private static int Descriptor(SocketChannel channel) => (int)channel.Handle.DangerousGetHandle();

    /// <summary>Bytes on their way in one direction.</summary>
    private sealed class Transfer
    {
        private byte[]? buffer;
        private int start;
        private int end;

        public bool HasBuffer => buffer is not null;

        public bool IsEmpty => start == end;

        public bool IsFull => buffer is not null && end == buffer.Length;

        public ReadOnlySpan<byte> Content => buffer.AsSpan(start, end - start);

        /// <summary>Room behind the content.</summary>
        public Span<byte> Room(int size)
        {
            buffer ??= ArrayPool<byte>.Shared.Rent(size);
            return buffer.AsSpan(end);
        }

        public void Add(int count) => end += count;

        public void Drop(int count)
        {
            start += count;
            if (start == end)
            {
                (start, end) = (0, 0);
            }
        }

        public void Release()
        {
            if (buffer is not null)
            {
                ArrayPool<byte>.Shared.Return(buffer, clearArray: true);
                buffer = null;
            }

            (start, end) = (0, 0);
        }
    }
}
