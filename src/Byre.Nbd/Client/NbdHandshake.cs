using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// A client's side of the handshake (sections "Handshake" and "Option types"). Waits on the caller's thread; one caller at a
/// time. What a server sends is bounded: texts, replies, and how many of them.
/// </summary>
internal sealed class NbdHandshake(NbdOptionStream stream, NbdClientOptions options)
{
    private const int MostExports = 65536;
    private const int MostListed = 32 << 20; // bytes of names and descriptions
    private const int MostContexts = 4096;
    private const int MostInfos = 64;
    private const int MostSelected = 64;

    private bool noZeroes;
    private byte[]? oldStyleTail;

    /// <summary>The version the server speaks.</summary>
    public NbdHandshakeStyle Style { get; private set; }

    /// <summary>What was agreed on for the transmission.</summary>
    public NbdHeaderStyle Headers { get; private set; }

    /// <summary>The connection is secured.</summary>
    public bool IsTls { get; private set; }

    /// <summary>The contexts selected, by the last <see cref="SelectContexts"/>.</summary>
    public IReadOnlyList<NbdMetaContext> Contexts { get; private set; } = [];

    /// <summary>Reads the server's greeting and answers it.</summary>
    public void Greet()
    {
        Span<byte> head = stackalloc byte[16];
        stream.Receive(head);
        if (BinaryPrimitives.ReadUInt64BigEndian(head) != NbdMagic.Initial)
        {
            throw stream.Broken("its greeting is none of an NBD server");
        }

        switch (BinaryPrimitives.ReadUInt64BigEndian(head[8..]))
        {
            case NbdMagic.OldStyle:
                Style = NbdHandshakeStyle.OldStyle;
                oldStyleTail = new byte[sizeof(ulong) + sizeof(uint) + NbdLimits.ExportNamePadding];
                stream.Receive(oldStyleTail);
                return;
            case NbdMagic.Option:
                break;
            default:
                throw stream.Broken("its greeting is neither oldstyle nor newstyle");
        }

        Span<byte> bytes = stackalloc byte[4];
        stream.Receive(bytes[..2]);
        var flags = (NbdHandshakeFlags)BinaryPrimitives.ReadUInt16BigEndian(bytes);
        noZeroes = (flags & NbdHandshakeFlags.NoZeroes) != 0;
        Style = (flags & NbdHandshakeFlags.FixedNewStyle) != 0 ? NbdHandshakeStyle.FixedNewStyle : NbdHandshakeStyle.NewStyle;
        var answer = (noZeroes ? NbdClientFlags.NoZeroes : 0)
            | (Style == NbdHandshakeStyle.FixedNewStyle ? NbdClientFlags.FixedNewStyle : 0);
        BinaryPrimitives.WriteUInt32BigEndian(bytes, (uint)answer);
        stream.Send(bytes);
    }

    /// <summary>Secures the connection, before anything else is said.</summary>
    /// <exception cref="BlockException">The server cannot, or the handshake of TLS fails.</exception>
    public async ValueTask StartTlsAsync(IClientSecurity security, CancellationToken cancellation)
    {
        if (Style != NbdHandshakeStyle.FixedNewStyle)
        {
            throw NbdFailures.NotConnected(stream.Server, "TLS is wanted, and the server is too old for it");
        }

        stream.SendOption(NbdOption.StartTls, []);
        var (reply, data) = stream.ReceiveReply(NbdOption.StartTls);
        if (reply != NbdOptionReply.Ack)
        {
            throw Failed("to use TLS", NbdOption.StartTls, reply, data);
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (stream.Remaining is var left && left < TimeSpan.FromMilliseconds(int.MaxValue))
        {
            limit.CancelAfter(left);
        }

        try
        {
            var secured = await security.ConnectAsync(
                stream.Channel, options.TlsHostName ?? options.Address.Host, limit.Token).ConfigureAwait(false);
            stream.GoOnWith(secured.Channel);
        }
        catch (IOException e)
        {
            throw NbdFailures.NotConnected(stream.Server, $"TLS: {e.Message}", e);
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw NbdFailures.NotConnected(stream.Server, "the server does not finish the handshake of TLS in time", e, errno: NbdOptionStream.TimedOut);
        }

        IsTls = true;
    }

    /// <summary>Asks for extended headers or structured replies, as the options want.</summary>
    public void NegotiateHeaders()
    {
        Headers = NbdHeaderStyle.Simple;
        if (Style != NbdHandshakeStyle.FixedNewStyle)
        {
            return;
        }

        Headers = options.RequestExtended && Turn(NbdOption.ExtendedHeaders, "extended headers") ? NbdHeaderStyle.Extended
            : options.RequestStructured && Turn(NbdOption.StructuredReply, "structured replies") ? NbdHeaderStyle.Structured
            : NbdHeaderStyle.Simple;
    }

    /// <summary>The server's exports.</summary>
    public List<NbdListedExport> List()
    {
        RequireFixed("a list of its exports");
        stream.SendOption(NbdOption.List, []);
        var exports = new List<NbdListedExport>();
        for (var listed = 0; ;)
        {
            var (reply, data) = stream.ReceiveReply(NbdOption.List);
            listed += data.Length;
            switch (reply)
            {
                case NbdOptionReply.Ack:
                    return exports;
                case NbdOptionReply.Server when exports.Count < MostExports && listed <= MostListed:
                    exports.Add(ReadExport(data));
                    break;
                case NbdOptionReply.Server:
                    throw stream.Broken(listed > MostListed ? $"its list of exports has more than {MostListed} bytes" : $"it lists more than {MostExports} exports");
                default:
                    throw Failed("a list of its exports", NbdOption.List, reply, data);
            }
        }
    }

    /// <summary>The contexts an export has.</summary>
    /// <param name="export">The export's name.</param>
    /// <param name="queries">Which; none for all.</param>
    public List<NbdMetaContext> ListContexts(string export, IReadOnlyList<string> queries)
    {
        RequireFixed("a list of metadata contexts");
        return AskContexts(NbdOption.ListMetaContext, export, queries, out var failure)
            ?? throw Failed("a list of metadata contexts", NbdOption.ListMetaContext, failure.Reply, failure.Data);
    }

    /// <summary>Selects contexts of an export for the transmission.</summary>
    /// <param name="export">The export's name.</param>
    /// <param name="names">The names in full, at most 64. A server that lacks one, or all, selects the others.</param>
    public void SelectContexts(string export, IReadOnlyList<string> names)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(names.Count, MostSelected);
        Contexts = [];
        if (names.Count == 0 || Headers == NbdHeaderStyle.Simple)
        {
            return;
        }

        var found = AskContexts(NbdOption.SetMetaContext, export, names, out var failure);
        if (found is null)
        {
            if (failure.Reply is NbdOptionReply.ErrorTlsRequired or NbdOptionReply.ErrorShutdown or NbdOptionReply.ErrorUnknown)
            {
                throw Failed($"the export '{export}'", NbdOption.SetMetaContext, failure.Reply, failure.Data);
            }

            return;
        }

        for (var i = 0; i < found.Count; i++)
        {
            var context = found[i];
            if (IndexOf(names, context.Name) < 0)
            {
                throw stream.Broken($"it selects the metadata context '{NbdFailures.Printable(context.Name)}', which was not asked for");
            }

            for (var k = 0; k < i; k++)
            {
                if (found[k].Id == context.Id || found[k].Name == context.Name)
                {
                    throw stream.Broken($"it selects the metadata context '{NbdFailures.Printable(context.Name)}' or its number twice");
                }
            }
        }

        // In the order asked for, whatever the server's: then it is the same on every connection.
        found.Sort((a, b) => IndexOf(names, a.Name).CompareTo(IndexOf(names, b.Name)));
        Contexts = found;
    }

    /// <summary>Asks about an export (INFO), or ends the handshake with it (GO).</summary>
    /// <param name="option">Info or Go.</param>
    /// <param name="export">The export's name.</param>
    /// <returns>Null where the server does not know the option.</returns>
    public NbdExportFacts? Ask(NbdOption option, string export)
    {
        var name = Encoding.UTF8.GetBytes(export);
        ReadOnlySpan<NbdInfo> wanted = [NbdInfo.BlockSize, NbdInfo.Name, NbdInfo.Description, NbdInfo.InitialState];
        var data = new byte[sizeof(int) + name.Length + sizeof(ushort) + (wanted.Length * sizeof(ushort))];
        var rest = NbdOptionStream.Put(data, name.Length);
        name.CopyTo(rest);
        rest = rest[name.Length..];
        BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)wanted.Length);
        foreach (var info in wanted)
        {
            rest = rest[sizeof(ushort)..];
            BinaryPrimitives.WriteUInt16BigEndian(rest, (ushort)info);
        }

        stream.SendOption(option, data);
        var reader = new NbdInfoReader(stream, Headers, Contexts.Count > 0);
        for (var count = 0; ; count++)
        {
            var (reply, content) = stream.ReceiveReply(option);
            switch (reply)
            {
                case NbdOptionReply.Ack:
                    return reader.Finish();
                case NbdOptionReply.Info when count < MostInfos:
                    reader.Take(content);
                    break;
                case NbdOptionReply.Info:
                    throw stream.Broken($"it sends more than {MostInfos} pieces of information about an export");
                case NbdOptionReply.ErrorUnsupported when Headers != NbdHeaderStyle.Extended:
                    return null;
                default:
                    throw Failed($"the export '{NbdFailures.Printable(export)}'", option, reply, content);
            }
        }
    }

    /// <summary>Ends the handshake with an export, the old way; or takes the export of an oldstyle server.</summary>
    public NbdExportFacts ExportName(string export)
    {
        var reader = new NbdInfoReader(stream, Headers, Contexts.Count > 0);
        if (oldStyleTail is { } tail)
        {
            // 64 bits of length, and 32 bits of flags whose upper half is that of the handshake.
            return export.Length == 0
                ? reader.Of(new NbdExportInfo(
                    BinaryPrimitives.ReadUInt64BigEndian(tail), (NbdTransmissionFlags)BinaryPrimitives.ReadUInt16BigEndian(tail.AsSpan(10))))
                : throw new BlockException(
                    ErrorCode.NotFound, $"The NBD server at '{stream.Server}' is an oldstyle one, whose only export has no name: there is no '{export}'", stream.Server);
        }

        stream.SendOption(NbdOption.ExportName, Encoding.UTF8.GetBytes(export));
        var reply = new byte[NbdExportInfo.Size + (noZeroes ? 0 : NbdLimits.ExportNamePadding)];
        try
        {
            stream.Receive(reply);
        }
        catch (BlockException e) when (e.Errno == NbdOptionStream.ConnectionReset)
        {
            throw new BlockException(
                ErrorCode.NotFound, $"The NBD server at '{stream.Server}' closed the connection when asked for the export '{export}': it may have none of that name", stream.Server, inner: e);
        }

        return reader.Of(NbdExportInfo.Read(reply));
    }

    /// <summary>Ends the handshake without an export; a failure is passed over.</summary>
    public void Abort()
    {
        if (Style != NbdHandshakeStyle.FixedNewStyle || stream.IsBroken)
        {
            return;
        }

        try
        {
            stream.BeginTime(TimeSpan.FromSeconds(1));
            stream.SendOption(NbdOption.Abort, []);
            stream.ReceiveReply(NbdOption.Abort);
        }
        catch (Exception e) when (e is BlockException or ObjectDisposedException)
        {
            // It may be closed already, and the server may close the connection at once (section "NBD_OPT_ABORT").
        }
    }

    private bool Turn(NbdOption option, string what)
    {
        stream.SendOption(option, []);
        var (reply, data) = stream.ReceiveReply(option);
        return reply switch
        {
            NbdOptionReply.Ack => true,
            NbdOptionReply.ErrorTlsRequired or NbdOptionReply.ErrorShutdown => throw Failed(what, option, reply, data),
            _ when IsError(reply) => false,
            _ => throw Unexpected(option, reply),
        };
    }

    private NbdListedExport ReadExport(ReadOnlySpan<byte> data)
    {
        const string what = "the name of a listed export";
        if (data.Length < sizeof(int) || BinaryPrimitives.ReadUInt32BigEndian(data) is var length && length > data.Length - sizeof(int))
        {
            throw stream.Broken($"{what} is longer than the reply that holds it");
        }

        data = data[sizeof(int)..];
        var description = data[(int)length..];
        return new NbdListedExport(
            stream.Text(data[..(int)length], what), description.IsEmpty ? null : stream.Text(description, "the description of a listed export"));
    }

    private List<NbdMetaContext>? AskContexts(
        NbdOption option, string export, IReadOnlyList<string> queries, out (NbdOptionReply Reply, byte[] Data) failure)
    {
        stream.SendOption(option, ContextData(export, queries));
        var found = new List<NbdMetaContext>();
        while (true)
        {
            var (reply, data) = stream.ReceiveReply(option);
            switch (reply)
            {
                case NbdOptionReply.Ack:
                    failure = default;
                    return found;
                case NbdOptionReply.MetaContext when data.Length > sizeof(int) && found.Count < MostContexts:
                    found.Add(new NbdMetaContext(
                        BinaryPrimitives.ReadUInt32BigEndian(data), stream.Text(data.AsSpan(sizeof(int)), "the name of a metadata context")));
                    break;
                case NbdOptionReply.MetaContext:
                    throw stream.Broken(found.Count < MostContexts
                        ? "a metadata context has no name" : $"it tells of more than {MostContexts} metadata contexts");
                case var error when IsError(error):
                    failure = (reply, data);
                    return null;
                default:
                    throw Unexpected(option, reply);
            }
        }
    }

    private static int IndexOf(IReadOnlyList<string> names, string name)
    {
        for (var i = 0; i < names.Count; i++)
        {
            if (names[i] == name)
            {
                return i;
            }
        }

        return -1;
    }

    private static byte[] ContextData(string export, IReadOnlyList<string> queries)
    {
        var length = (2 * sizeof(int)) + Encoding.UTF8.GetByteCount(export);
        foreach (var query in queries)
        {
            length += sizeof(int) + Encoding.UTF8.GetByteCount(query);
        }

        var data = new byte[length];
        var rest = PutText(data, export);
        rest = NbdOptionStream.Put(rest, queries.Count);
        foreach (var query in queries)
        {
            rest = PutText(rest, query);
        }

        return data;
    }

    private static Span<byte> PutText(Span<byte> target, string text)
    {
        var length = Encoding.UTF8.GetBytes(text, target[sizeof(int)..]);
        return NbdOptionStream.Put(target, length)[length..];
    }

    private void RequireFixed(string what)
    {
        if (Style != NbdHandshakeStyle.FixedNewStyle)
        {
            throw new BlockException(ErrorCode.NotSupported, $"The NBD server at '{stream.Server}' is too old to be asked for {what}", stream.Server);
        }
    }

    private BlockException Failed(string what, NbdOption option, NbdOptionReply reply, byte[] data) => IsError(reply)
        ? NbdFailures.Refused(stream.Server, what, reply, NbdOptionStream.ErrorText(data))
        : Unexpected(option, reply);

    private BlockException Unexpected(NbdOption option, NbdOptionReply reply) =>
        stream.Broken($"it sends a reply of type {(uint)reply} to option {(uint)option}");

    private static bool IsError(NbdOptionReply reply) => ((uint)reply & (1u << 31)) != 0;
}
