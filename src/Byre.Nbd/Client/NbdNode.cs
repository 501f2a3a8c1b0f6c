using Byre.Nbd.Client.Extents;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// An export of an NBD server as a node of the graph. Long requests are parted and go over several connections where the server
/// allows it, unless callers wait for them on their threads (<see cref="NbdNodeOptions.Blocking"/>); a lost connection is made again (<see cref="NbdNodeOptions.ReconnectDelay"/>).
/// </summary>
public sealed class NbdNode : BlockNode, IGivenOptions
{
    private const int PartLength = 512 << 10;
    private const long LongestCompact = (1L << 32) - (64 << 10);

    private readonly NbdNodeOptions options;
    private readonly NbdLink link;
    private readonly NbdSession session;
    private readonly RequestPool pool = new();
    private readonly StatusRest rest = new();
    private readonly NbdStatusSource status;
    private bool isChanged;
    private bool lacksZeroes;

    private NbdNode(NbdNodeOptions options, NbdLink link)
    {
        this.options = options;
        this.link = link;
        session = link.Session;
        status = new NbdStatusSource(options, link, pool, rest);
        link.Forgets = rest;
        var block = BlockOf(session);
        var longest = session.Style == NbdHeaderStyle.Extended ? long.MaxValue & ~((1L << 30) - 1) : LongestCompact;
        Limits = new BlockLimits
        {
            RequestAlignment = block,
            MaxTransfer = session.MaxPayload,
            OptimalTransfer = (int)(session.Facts.BlockSize?.Preferred ?? 0),
            WriteZeroesAlignment = block,
            MaxWriteZeroes = longest,
            DiscardAlignment = block,
            MaxDiscard = longest,
        };
        IsReadOnly = options.ReadOnly || session.Facts.Has(NbdTransmissionFlags.ReadOnly);
    }

    /// <inheritdoc/>
    public override string DriverName => "nbd";

    /// <inheritdoc/>
    public override string FileName => options.FileName;

    /// <inheritdoc/>
    public override long Length => session.Size;

    /// <inheritdoc/>
    public override bool IsReadOnly { get; }

    /// <inheritdoc/>
    public override BlockLimits Limits { get; }

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags =>
        session.Facts.Has(NbdTransmissionFlags.SendFua) ? WriteFlags.Fua : WriteFlags.None;

    /// <summary>What it was opened with.</summary>
    public NbdNodeOptions Options => options;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> GivenOptions => options.Given;

    /// <summary>What the server said of the export when it was opened.</summary>
    public NbdExportFacts Facts => session.Facts;

    /// <summary>The metadata contexts that were selected, in the order they were asked for.</summary>
    public IReadOnlyList<NbdMetaContext> Contexts => session.Contexts;

    /// <summary>How many connections there are now.</summary>
    public int ConnectionCount => link.Count;

    /// <summary>
    /// The server said when it was opened that every byte read as zero, and nothing was written through this node since. Another
    /// client may have written: it says something of a target that is the caller's alone, and nothing of what is to be read.
    /// </summary>
    public bool WasZero =>
        session.Facts.InitialState is { } state && (state & NbdInitialState.Zero) != 0 && !Volatile.Read(ref isChanged) && !link.WasLost;

    /// <summary>Connects to an export.</summary>
    /// <param name="options">Where, and how.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Disconnected"/>: there is no connection; <see cref="ErrorCode.AccessDenied"/>: the export is read-only;
    /// <see cref="ErrorCode.NotFound"/>: there is no such export, or no such context.
    /// </exception>
    public static async Task<NbdNode> OpenAsync(NbdNodeOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Connections is { } connections)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(connections, 1);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(connections, 16);
        }

        var link = await NbdLink.OpenAsync(options, cancellation).ConfigureAwait(false);
        try
        {
            if (link.Session.Facts.Has(NbdTransmissionFlags.ReadOnly) && !options.ReadOnly && !options.AutoReadOnly)
            {
                throw new BlockException(
                    ErrorCode.AccessDenied, $"The export of the NBD server at '{link.Session.Server}' is read-only, and is to be written: permission denied", link.Session.Server);
            }

            if (link.Session.Size % link.Session.MinimumBlock != 0)
            {
                throw new BlockException(
                    ErrorCode.Invalid,
                    $"The export of the NBD server at '{link.Session.Server}' has {link.Session.Size} bytes, no multiple of its minimum block size {link.Session.MinimumBlock}",
                    link.Session.Server);
            }

            return options.AllocationContext is { } name && !link.Session.Contexts.Any(context => context.Name == name)
                ? throw new BlockException(ErrorCode.NotFound, $"The export of the NBD server at '{link.Session.Server}' has no metadata context '{name}'", link.Session.Server)
                : new NbdNode(options, link);
        }
        catch
        {
            await link.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => buffer.Length <= PartLength || options.Blocking
        ? Send(pool.Rent().Set(NbdCommand.Read, NbdCommandFlags.None, offset, buffer.Length).Into(buffer))
        : SendParts(buffer.Length, (at, length) =>
            pool.Rent().Set(NbdCommand.Read, NbdCommandFlags.None, offset + at, length).Into(buffer.Slice(at, length)));

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        Volatile.Write(ref isChanged, true);
        var fua = FuaOf(flags);
        return data.Length <= PartLength || options.Blocking
            ? Send(pool.Rent().Set(NbdCommand.Write, fua, offset, data.Length).With(data).Changing(rest))
            : SendParts(data.Length, (at, length) => pool.Rent().Set(NbdCommand.Write, fua, offset + at, length).With(data.Slice(at, length)).Changing(rest));
    }

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        var fast = (flags & WriteFlags.NoFallback) != 0;
        if (!session.Facts.Has(NbdTransmissionFlags.SendWriteZeroes) || Volatile.Read(ref lacksZeroes)
            || (fast && !session.Facts.Has(NbdTransmissionFlags.SendFastZero)))
        {
            return false;
        }

        var how = FuaOf(flags)
            | ((flags & WriteFlags.MayUnmap) == 0 ? NbdCommandFlags.NoHole : 0)
            | (fast ? NbdCommandFlags.FastZero : 0);
        try
        {
            await SendRangeAsync(NbdCommand.WriteZeroes, how, offset, length).ConfigureAwait(false);
            return true;
        }
        catch (BlockException e) when (e.Code == ErrorCode.NotSupported || (e.Code == ErrorCode.Invalid && !fast))
        {
            // Some servers offer what they then refuse; zeroes can still be written as data.
            Volatile.Write(ref lacksZeroes, lacksZeroes || !fast);
            return false;
        }
    }

    /// <inheritdoc/>
    public override async ValueTask DiscardAsync(long offset, long length)
    {
        if (!session.Facts.Has(NbdTransmissionFlags.SendTrim))
        {
            return;
        }

        Volatile.Write(ref isChanged, true);
        try
        {
            await SendRangeAsync(NbdCommand.Trim, NbdCommandFlags.None, offset, length).ConfigureAwait(false);
        }
        catch (BlockException e) when (e.Code == ErrorCode.NotSupported)
        {
            // Giving space back is a wish.
        }
    }

    /// <inheritdoc/>
    public override ValueTask SyncAsync() => session.Facts.Has(NbdTransmissionFlags.SendFlush)
        ? Send(pool.Rent().Set(NbdCommand.Flush, NbdCommandFlags.None, 0, 0))
        : default;

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        return status.GetExtentsAsync(extents, this);
    }

    /// <summary>Asks for all metadata contexts of a range.</summary>
    /// <param name="offset">First byte, a multiple of <see cref="BlockLimits.RequestAlignment"/>.</param>
    /// <param name="length">Bytes, at least 1; below 4 GiB without extended headers.</param>
    /// <param name="sink">Takes the answer: the contexts in the order of <see cref="Contexts"/>.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: the server has none of the contexts.</exception>
    public ValueTask GetStatusAsync(long offset, long length, NbdStatusSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        return status.AskAsync(offset, length, sink);
    }

    /// <summary>A reader of the export's extents through all of its metadata contexts at once.</summary>
    public NbdExtentReader ReadExtents() => new(
        async (offset, length, sink) =>
        {
            await GetStatusAsync(offset, length, sink).ConfigureAwait(false);
            return Contexts;
        },
        Length,
        session.MinimumBlock,
        session.Style == NbdHeaderStyle.Extended ? long.MaxValue : LongestCompact)
    {
        Changes = () => rest.Mark,
    };

    /// <inheritdoc/>
    public override async ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        if (preallocation == Preallocation.Off && (length == Length || (options.IsFixed && length < Length)))
        {
            return;
        }

        if (options.IsFixed || !session.Facts.Has(NbdTransmissionFlags.SendResize) || preallocation != Preallocation.Off)
        {
            throw new BlockException(ErrorCode.NotSupported, $"The export of the NBD server at '{session.Server}' has {Length} bytes, and its length cannot be changed", session.Server);
        }

        Volatile.Write(ref isChanged, true);
        await Send(pool.Rent().Set(NbdCommand.Resize, NbdCommandFlags.None, length, 0).Changing(rest)).ConfigureAwait(false);
        session.Size = length;
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await link.DisposeAsync().ConfigureAwait(false);
        options.Owned?.Dispose();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>A server that says nothing of block sizes may be an old one: it gets whole sectors, where its export has only such.</summary>
    private static int BlockOf(NbdSession session) =>
        session.Facts.BlockSize is null && session.Contexts.Count == 0 && session.Size % 512 == 0 ? 512 : session.MinimumBlock;

    private NbdCommandFlags FuaOf(WriteFlags flags) =>
        (flags & WriteFlags.Fua) != 0 && session.Facts.Has(NbdTransmissionFlags.SendFua) ? NbdCommandFlags.Fua : NbdCommandFlags.None;

    private ValueTask Send(NbdRequest request)
    {
        if (!options.Blocking)
        {
            link.Submit(request);
            return request.AsValueTask();
        }

        link.Submit(request.ForWaiting());
        request.Wait();
        return default;
    }

    /// <summary>Sends a long request in parts, all at once.</summary>
    private ValueTask SendParts(int length, Func<int, int, NbdRequest> make)
    {
        var parts = new NbdRequest[(length + PartLength - 1) / PartLength];
        for (var i = 0; i < parts.Length; i++)
        {
            parts[i] = make(i * PartLength, Math.Min(PartLength, length - (i * PartLength)));
            link.Submit(parts[i]);
        }

        return AllAsync(parts);
    }

    /// <summary>Waits for all parts; the first failure of them is told.</summary>
    private static async ValueTask AllAsync(NbdRequest[] parts)
    {
        BlockException? failure = null;
        foreach (var part in parts)
        {
            try
            {
                await part.AsValueTask().ConfigureAwait(false);
            }
            catch (BlockException e)
            {
                failure ??= e;
            }
        }

        if (failure is not null)
        {
            throw failure;
        }
    }

    /// <summary>Sends a request without data; where the server finds it too long, in pieces that it must take.</summary>
    private async ValueTask SendRangeAsync(NbdCommand command, NbdCommandFlags flags, long offset, long length)
    {
        try
        {
            await Send(pool.Rent().Set(command, flags, offset, length).Changing(rest)).ConfigureAwait(false);
        }
        catch (BlockException e) when (length > session.MaxPayload && e.Code is ErrorCode.TooLarge or ErrorCode.Invalid)
        {
            for (var at = offset; at < offset + length;)
            {
                var n = Math.Min(session.MaxPayload, offset + length - at);
                await Send(pool.Rent().Set(command, flags, at, n).Changing(rest)).ConfigureAwait(false);
                at += n;
            }
        }
    }
}
