using System.Buffers.Binary;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// The handshake of one connection (section "Newstyle negotiation"). What has not come in whole stays in the connection's buffer,
/// so that a client that takes its time holds no thread.
/// </summary>
internal sealed class Handshake
{
    private const int PatienceMilliseconds = 200;

    // Data of an option that is too long by less than this are read and dropped; longer ones end the connection.
    private const uint MostSkipped = 16 << 20;

    private readonly ServerConnection connection;
    private readonly OptionReplies replies = new();
    private readonly ExportOptions exports;
    private bool hasFlags;
    private bool? isAllowed;
    private long toSkip;
    private NbdOption skipped;
    private int needed = sizeof(uint);
    private ConnectionStep? outcome;

    /// <summary>Makes one for a connection that <see cref="Greet"/> was sent on.</summary>
    public Handshake(ServerConnection connection)
    {
        this.connection = connection;
        exports = new ExportOptions(connection, State, replies);
    }

    /// <summary>What was negotiated.</summary>
    public HandshakeState State { get; } = new();

    /// <summary>The export that was chosen, once the handshake is over; the connection is attached to it.</summary>
    public NbdExport? Chosen { get; private set; }

    private bool NeedsTls => connection.Options.Security is { IsRequired: true } && !State.IsSecure;

    /// <summary>Sends the server's first bytes without waiting: a new connection has room for them.</summary>
    /// <returns>False where it has not.</returns>
    /// <exception cref="IOException">The connection failed.</exception>
    public static bool Greet(SocketChannel channel)
    {
        Span<byte> greeting = stackalloc byte[18];
        BinaryPrimitives.WriteUInt64BigEndian(greeting, NbdMagic.Initial);
        BinaryPrimitives.WriteUInt64BigEndian(greeting[8..], NbdMagic.Option);
        BinaryPrimitives.WriteUInt16BigEndian(greeting[16..], (ushort)(NbdHandshakeFlags.FixedNewStyle | NbdHandshakeFlags.NoZeroes));
        return channel.TrySend(greeting) == greeting.Length;
    }

    /// <summary>Negotiates until more must come, an export is chosen, or the connection is at its end.</summary>
    /// <exception cref="IOException">The connection failed, or the client breaks the protocol.</exception>
    public ConnectionStep Run()
    {
        connection.Channel.SetReceiveTimeout(TimeSpan.FromMilliseconds(PatienceMilliseconds));
        while (true)
        {
            while (TryHandleNext())
            {
                if (outcome is { } step)
                {
                    return step;
                }
            }

            var count = connection.Input.Receive(connection.Channel, needed, Math.Max(needed, 4096), patience: connection.Patience);
            if (count == 0)
            {
                return ConnectionStep.Close;
            }

            if (count < 0)
            {
                connection.Input.Shrink();
                return ConnectionStep.Park;
            }
        }
    }

    /// <summary>Handles the next message, or sets <see cref="needed"/> where it is not there in whole.</summary>
    private bool TryHandleNext()
    {
        var input = connection.Input;
        if (toSkip > 0)
        {
            return TrySkip(input);
        }

        needed = hasFlags ? NbdOptionHeader.Size : sizeof(uint);
        if (input.Available < needed)
        {
            return false;
        }

        if (!hasFlags)
        {
            TakeFlags((NbdClientFlags)BinaryPrimitives.ReadUInt32BigEndian(input.Take(sizeof(uint)).Span));
            return true;
        }

        if (!NbdOptionHeader.TryRead(input.Unread, out var header))
        {
            throw new IOException("it sent what is no option");
        }

        if (header.Length > NbdLimits.MaxOptionData)
        {
            if (header.Length > MostSkipped || header.Option == NbdOption.ExportName)
            {
                throw new IOException($"it sent an option with {header.Length} bytes of data");
            }

            input.Skip(NbdOptionHeader.Size);
            (toSkip, skipped) = (header.Length, header.Option);
            return true;
        }

        needed = NbdOptionHeader.Size + (int)header.Length;
        if (input.Available < needed)
        {
            return false;
        }

        input.Skip(NbdOptionHeader.Size);
        Handle(header.Option, input.Take((int)header.Length).Span);
        return true;
    }

    private bool TrySkip(ReceiveBuffer input)
    {
        var count = (int)Math.Min(toSkip, input.Available);
        input.Skip(count);
        toSkip -= count;
        needed = 1;
        if (toSkip > 0)
        {
            return false;
        }

        replies.Begin(skipped);
        replies.Fail(NeedsTls ? NbdOptionReply.ErrorTlsRequired : NbdOptionReply.ErrorTooBig, "the option's data are too long");
        connection.Channel.Send(replies.Bytes);
        return true;
    }

    private void TakeFlags(NbdClientFlags flags)
    {
        if ((flags & ~(NbdClientFlags.FixedNewStyle | NbdClientFlags.NoZeroes)) != 0)
        {
            throw new IOException($"it sent the flags 0x{(uint)flags:x}");
        }

        State.IsFixedNewStyle = (flags & NbdClientFlags.FixedNewStyle) != 0;
        State.NoZeroes = (flags & NbdClientFlags.NoZeroes) != 0;
        hasFlags = true;
    }

    private void Handle(NbdOption option, ReadOnlySpan<byte> data)
    {
        replies.Begin(option);
        if (option == NbdOption.ExportName)
        {
            ExportName(data);
        }
        else if (!State.IsFixedNewStyle)
        {
            throw new IOException("it sent an option without the flag that it reads replies");
        }
        else if (option == NbdOption.Abort)
        {
            replies.Acknowledge();
            outcome = ConnectionStep.Close;
            SayGoodbye();
            return;
        }
        else if (NeedsTls && option != NbdOption.StartTls)
        {
            replies.Fail(NbdOptionReply.ErrorTlsRequired, "TLS comes first");
        }
        else if (connection.IsServerEnding)
        {
            replies.Fail(NbdOptionReply.ErrorShutdown, "the server is ending");
        }
        else if (option == NbdOption.StartTls)
        {
            StartTls(data);
            return;
        }
        else if (!IsAllowed())
        {
            replies.Fail(NbdOptionReply.ErrorPolicy, "the server is not for this client");
        }
        else
        {
            Negotiate(option, data);
        }

        if (!replies.Bytes.IsEmpty)
        {
            connection.Channel.Send(replies.Bytes);
        }
    }

    /// <summary>Answers ABORT. A client need not wait for it, so that it may be gone.</summary>
    private void SayGoodbye()
    {
        try
        {
            connection.Channel.Send(replies.Bytes);
        }
        catch (IOException)
        {
            // The connection ends either way.
        }
    }

    private void Negotiate(NbdOption option, ReadOnlySpan<byte> data)
    {
        switch (option)
        {
            case NbdOption.List:
                exports.List(data);
                break;
            case NbdOption.Info:
                exports.Describe(data, isGo: false);
                break;
            case NbdOption.Go:
                Chosen = exports.Describe(data, isGo: true);
                outcome = Chosen is null ? null : ConnectionStep.Transmit;
                break;
            case NbdOption.ListMetaContext:
                exports.Contexts(data, isSet: false);
                break;
            case NbdOption.SetMetaContext:
                exports.Contexts(data, isSet: true);
                break;
            case NbdOption.StructuredReply when connection.Options.StructuredReplies:
                State.HasStructuredReplies |= TurnOn(data, NbdOptionReply.ErrorExtendedHeadersRequired, State.HasExtendedHeaders);
                break;
            case NbdOption.ExtendedHeaders when connection.Options.ExtendedHeaders:
                State.HasExtendedHeaders |= TurnOn(data, NbdOptionReply.ErrorInvalid, State.HasExtendedHeaders);
                break;
            default:
                replies.Fail(NbdOptionReply.ErrorUnsupported, "the option is not known");
                break;
        }
    }

    /// <summary>Answers an option without data that turns something on.</summary>
    /// <returns>It is on now.</returns>
    private bool TurnOn(ReadOnlySpan<byte> data, NbdOptionReply refusal, bool isRefused)
    {
        if (!data.IsEmpty)
        {
            replies.Fail(NbdOptionReply.ErrorInvalid, "the option takes no data");
            return false;
        }

        if (isRefused)
        {
            replies.Fail(refusal, "extended headers are on already");
            return false;
        }

        replies.Acknowledge();
        return true;
    }

    private void ExportName(ReadOnlySpan<byte> data)
    {
        if (NeedsTls || State.HasExtendedHeaders || connection.IsServerEnding || !IsAllowed())
        {
            throw new IOException("it asked for an export by EXPORT_NAME where that is not allowed");
        }

        var reader = new OptionData(data);
        var name = reader.ReadText(data.Length);
        var export = reader.IsBroken ? null : connection.Exports.Find(name);
        if (export is null || !connection.TryAttach(export))
        {
            throw new IOException("it asked for an export that does not exist");
        }

        var info = new NbdExportInfo((ulong)export.Size, export.FlagsFor(State.Style, State.ContextsOf(export).Count > 0));
        replies.AddBareExport(info, State.NoZeroes ? 0 : NbdLimits.ExportNamePadding);
        Chosen = export;
        outcome = ConnectionStep.Transmit;
    }

    private void StartTls(ReadOnlySpan<byte> data)
    {
        var security = connection.Options.Security;
        if (!data.IsEmpty || State.IsSecure)
        {
            replies.Fail(NbdOptionReply.ErrorInvalid, State.IsSecure ? "TLS is on already" : "the option takes no data");
        }
        else if (security is null)
        {
            replies.Fail(NbdOptionReply.ErrorPolicy, "the server has no TLS");
        }
        else if (connection.Input.Available > 0)
        {
            // It would be taken for what came through TLS.
            throw new IOException("it sent more in the clear after STARTTLS");
        }
        else
        {
            replies.Acknowledge();
        }

        connection.Channel.Send(replies.Bytes);
        if (security is not null && data.IsEmpty && !State.IsSecure)
        {
            connection.Secure(security);
            connection.Channel.SetReceiveTimeout(TimeSpan.FromMilliseconds(PatienceMilliseconds));
            State.StartSecure();
            isAllowed = null;
            if (!IsAllowed())
            {
                throw new IOException($"'{connection.PeerName}' is not allowed to use the server");
            }
        }
    }

    private bool IsAllowed() => isAllowed ??= connection.Options.Authorize?.Invoke(connection.PeerName) ?? true;
}
