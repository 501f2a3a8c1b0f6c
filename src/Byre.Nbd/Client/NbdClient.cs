using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// A connection to an NBD server. Requests go out as they are made, and their tasks complete as replies come, in any order,
/// on threads of the pool. Everything the server says is checked; a server that breaks the protocol is dropped, and all
/// requests fail. Requests may be made from several threads; options are sent one at a time.
/// </summary>
/// <remarks>
/// Failures are <see cref="BlockException"/>s: <see cref="ErrorCode.Disconnected"/> where there is no connection (any more),
/// <see cref="ErrorCode.Corrupt"/> where the server breaks the protocol, otherwise what the server answered
/// (<see cref="NbdErrors.ToCode"/>). Buffers belong to the request until its task has completed.
/// </remarks>
public sealed class NbdClient : IAsyncDisposable
{
    private readonly NbdClientOptions options;
    private readonly NbdConnector connector;
    private readonly NbdOptionStream stream;
    private readonly NbdHandshake handshake;
    private readonly RequestPool pool = new();
    private NbdConnection? connection;
    private NbdExportFacts facts = new();
    private bool isClosed;

    private NbdClient(NbdClientOptions options, NbdConnector connector, NbdOptionStream stream, NbdHandshake handshake)
    {
        this.options = options;
        this.connector = connector;
        this.stream = stream;
        this.handshake = handshake;
    }

    /// <summary>The version of the server's handshake.</summary>
    public NbdHandshakeStyle HandshakeStyle => handshake.Style;

    /// <summary>The server speaks the oldest version of the handshake.</summary>
    public bool IsOldStyle => handshake.Style == NbdHandshakeStyle.OldStyle;

    /// <summary>The connection is secured.</summary>
    public bool IsTls => handshake.IsTls;

    /// <summary>The form of requests and replies that was agreed on.</summary>
    public NbdHeaderStyle HeaderStyle => handshake.Headers;

    /// <summary>An export was chosen: requests can be made.</summary>
    public bool IsConnected => connection is { IsEnding: false };

    /// <summary>What the server says of the export; empty in option mode.</summary>
    public NbdExportFacts Facts => facts;

    /// <summary>The export's length in bytes. A resize through this connection changes it.</summary>
    public long Size => connection?.Session.Size ?? facts.Size;

    /// <summary>What the export can do.</summary>
    public NbdTransmissionFlags Flags => facts.Flags;

    /// <summary>The sizes the server wants, or null where it has not said.</summary>
    public NbdBlockSize? BlockSize => facts.BlockSize;

    /// <summary>What the export's content was when the client connected, or null where the server has not said.</summary>
    public NbdInitialState? InitialState => facts.InitialState;

    /// <summary>A text about the export, or null.</summary>
    public string? Description => facts.Description;

    /// <summary>The name the server knows the export by, or null.</summary>
    public string? CanonicalName => facts.CanonicalName;

    /// <summary>The metadata contexts that were selected, in the order they were asked for.</summary>
    public IReadOnlyList<NbdMetaContext> Contexts => connection?.Session.Contexts ?? [];

    /// <summary>The longest read or write in bytes; a multiple of the minimum block size.</summary>
    public int MaxPayload => connection?.Session.MaxPayload ?? NbdLimits.DefaultMaxPayload;

    /// <summary>Connects; without option mode up to the transmission.</summary>
    /// <param name="options">How.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="BlockException">There is no connection, or the export cannot be used.</exception>
    /// <exception cref="OperationCanceledException">It was given up.</exception>
    public static async Task<NbdClient> ConnectAsync(NbdClientOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var connector = new NbdConnector(options, blocking: false);
        var (stream, handshake) = await connector.ConnectAsync(cancellation).ConfigureAwait(false);
        var client = new NbdClient(options, connector, stream, handshake);
        if (!options.OptionMode)
        {
            await client.GoAsync(cancellation: cancellation).ConfigureAwait(false);
        }

        return client;
    }

    /// <summary>Option mode: the server's exports.</summary>
    /// <exception cref="BlockException">The server does not tell.</exception>
    public Task<IReadOnlyList<NbdListedExport>> ListExportsAsync(CancellationToken cancellation = default) =>
        OptionAsync<IReadOnlyList<NbdListedExport>>(handshake.List, cancellation);

    /// <summary>Option mode: the metadata contexts of an export.</summary>
    /// <param name="queries">Which ("base:" for all of that namespace); none for all.</param>
    /// <param name="exportName">The export; null for the one of the options.</param>
    /// <param name="cancellation">Gives up, and closes the connection.</param>
    public Task<IReadOnlyList<NbdMetaContext>> ListMetaContextsAsync(
        IReadOnlyList<string> queries, string? exportName = null, CancellationToken cancellation = default) =>
        OptionAsync<IReadOnlyList<NbdMetaContext>>(() => handshake.ListContexts(exportName ?? options.ExportName, queries), cancellation);

    /// <summary>Option mode: what the server says of an export, without choosing it.</summary>
    /// <param name="exportName">The export; null for the one of the options.</param>
    /// <param name="cancellation">Gives up, and closes the connection.</param>
    /// <exception cref="BlockException">There is no such export, or the server cannot tell.</exception>
    public Task<NbdExportFacts> InfoAsync(string? exportName = null, CancellationToken cancellation = default) => OptionAsync(
        () => (handshake.Style == NbdHandshakeStyle.FixedNewStyle ? handshake.Ask(NbdOption.Info, exportName ?? options.ExportName) : null)
            ?? throw new BlockException(ErrorCode.NotSupported, $"The NBD server at '{stream.Server}' tells nothing about an export before it is chosen", stream.Server),
        cancellation);

    /// <summary>Chooses the export and ends option mode.</summary>
    /// <param name="exportName">The export; null for the one of the options.</param>
    /// <param name="contexts">The metadata contexts to select; null for those of the options.</param>
    /// <param name="cancellation">Gives up, and closes the connection.</param>
    /// <exception cref="BlockException">The export cannot be used; the connection is closed.</exception>
    public async Task GoAsync(string? exportName = null, IReadOnlyList<string>? contexts = null, CancellationToken cancellation = default)
    {
        CheckOptionMode();
        stream.BeginTime(options.ConnectTimeout);
        var session = await connector.EnterAsync(
            stream, handshake, exportName ?? options.ExportName, contexts ?? options.MetaContexts, cancellation).ConfigureAwait(false);
        facts = session.Facts;
        connection = new NbdConnection(stream.Channel, session, options.MaxInFlight, options.SilenceLimit, callersDrive: false, Lost);
        connection.Start();
    }

    /// <summary>Reads.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="buffer">Filled; at most <see cref="MaxPayload"/> bytes.</param>
    /// <param name="flags">DontFragment, where the server offers it.</param>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer, NbdCommandFlags flags = NbdCommandFlags.None)
    {
        var wrong = NbdRequestChecks.Payload(this, NbdCommand.Read, flags, offset, buffer.Length);
        return wrong is not null ? ValueTask.FromException(wrong)
            : buffer.IsEmpty ? default
            : Submit(pool.Rent().Set(NbdCommand.Read, flags, offset, buffer.Length).Into(buffer));
    }

    /// <summary>Writes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">At most <see cref="MaxPayload"/> bytes.</param>
    /// <param name="flags">Fua, where the server offers it.</param>
    public ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, NbdCommandFlags flags = NbdCommandFlags.None)
    {
        var wrong = NbdRequestChecks.Payload(this, NbdCommand.Write, flags, offset, data.Length);
        return wrong is not null ? ValueTask.FromException(wrong)
            : data.IsEmpty ? default
            : Submit(pool.Rent().Set(NbdCommand.Write, flags, offset, data.Length).With(data));
    }

    /// <summary>Brings completed writes to stable storage.</summary>
    public ValueTask FlushAsync() =>
        NbdRequestChecks.Range(this, NbdCommand.Flush, NbdCommandFlags.None, 0, 0) is { } wrong ? ValueTask.FromException(wrong)
            : Submit(pool.Rent().Set(NbdCommand.Flush, NbdCommandFlags.None, 0, 0));

    /// <summary>Gives space back.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; below 4 GiB without extended headers.</param>
    /// <param name="flags">Fua, where the server offers it.</param>
    public ValueTask TrimAsync(long offset, long length, NbdCommandFlags flags = NbdCommandFlags.None) =>
        RangedAsync(NbdCommand.Trim, offset, length, flags);

    /// <summary>Makes a range read as zeroes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; below 4 GiB without extended headers.</param>
    /// <param name="flags">Fua, NoHole, and FastZero where the server offers it.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/> with FastZero: it would be no faster than writing.</exception>
    public ValueTask WriteZeroesAsync(long offset, long length, NbdCommandFlags flags = NbdCommandFlags.None) =>
        RangedAsync(NbdCommand.WriteZeroes, offset, length, flags);

    /// <summary>Has the server read ahead.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; below 4 GiB without extended headers.</param>
    public ValueTask CacheAsync(long offset, long length) => RangedAsync(NbdCommand.Cache, offset, length, NbdCommandFlags.None);

    /// <summary>Asks what is where.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes, at least 1; below 4 GiB without extended headers. The server may answer for less.</param>
    /// <param name="flags">RequestOne.</param>
    /// <param name="sink">Takes the answer.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: no metadata context was selected.</exception>
    public ValueTask BlockStatusAsync(long offset, long length, NbdCommandFlags flags, NbdStatusSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (NbdRequestChecks.Range(this, NbdCommand.BlockStatus, flags, offset, length) is { } wrong)
        {
            return ValueTask.FromException(wrong);
        }

        sink.Begin(offset, Contexts.Count);
        return length == 0 ? default
            : Submit(pool.Rent().Set(NbdCommand.BlockStatus, flags, offset, length).To(sink, Contexts.Count));
    }

    /// <summary>Changes the export's length, where the server offers it (the RESIZE extension).</summary>
    /// <param name="length">The new length in bytes.</param>
    /// <param name="flags">Fua, where the server offers it.</param>
    public async ValueTask ResizeAsync(long length, NbdCommandFlags flags = NbdCommandFlags.None)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (NbdRequestChecks.Offered(this, NbdCommand.Resize, flags) is { } wrong)
        {
            throw wrong;
        }

        await Submit(pool.Rent().Set(NbdCommand.Resize, flags, length, 0)).ConfigureAwait(false);
        connection!.Session.Size = length;
        facts = facts with { Size = length };
    }

    /// <summary>Says good-bye to the server and closes the connection. Requests in flight fail.</summary>
    public async ValueTask DisconnectAsync()
    {
        if (isClosed)
        {
            return;
        }

        isClosed = true;
        if (connection is { } open)
        {
            await open.DisconnectAsync().ConfigureAwait(false);
            return;
        }

        await Task.Run(handshake.Abort).ConfigureAwait(false);
        stream.Channel.Dispose();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => DisconnectAsync();

    private ValueTask RangedAsync(NbdCommand command, long offset, long length, NbdCommandFlags flags) =>
        NbdRequestChecks.Range(this, command, flags, offset, length) is { } wrong ? ValueTask.FromException(wrong)
            : length == 0 ? default
            : Submit(pool.Rent().Set(command, flags, offset, length));

    private ValueTask Submit(NbdRequest request)
    {
        if (connection is not { } open)
        {
            return ValueTask.FromException(new InvalidOperationException("No export is chosen."));
        }

        if (!open.TrySubmit(request))
        {
            request.Fail(open.Failure!);
        }

        return request.AsValueTask();
    }

    private void Lost(NbdConnection lost, BlockException cause, List<NbdRequest> requests)
    {
        foreach (var request in requests)
        {
            request.Fail(cause);
        }
    }

    private Task<T> OptionAsync<T>(Func<T> option, CancellationToken cancellation)
    {
        CheckOptionMode();
        stream.BeginTime(options.ConnectTimeout);
        return NbdConnector.GuardAsync(stream, handshake, () => new ValueTask<T>(option()), goesOn: true, blocking: false, cancellation);
    }

    private void CheckOptionMode()
    {
        ObjectDisposedException.ThrowIf(isClosed, this);
        if (connection is not null)
        {
            throw new InvalidOperationException("An export is chosen already: options are sent before that.");
        }
    }
}
