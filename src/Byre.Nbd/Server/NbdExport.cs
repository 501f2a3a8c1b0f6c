using System.Numerics;
using System.Text;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;
using Byre.Nodes;

namespace Byre.Nbd.Server;

/// <summary>
/// An image, or a part of one, under a name. All of its clients use one edge, which belongs to the caller and has to live until
/// the export is removed or its server is disposed.
/// </summary>
/// <remarks>
/// Once it was removed from a server no client can use it any more: what is to be shown again is a new export.
/// Lock order: a resize in progress, then <c>gate</c>, which is a leaf.
/// </remarks>
#pragma warning disable CA1001 // a SemaphoreSlim whose handle nobody asks for holds nothing
public sealed class NbdExport
#pragma warning restore CA1001
{
    private readonly Lock gate = new();
    private readonly List<ServerConnection> connections = [];
    private readonly SemaphoreSlim resizing = new(1, 1);
    private readonly NbdExportOptions options;
    private TaskCompletionSource? lastLeft;
    private bool isRemoved;
    private long size;

    /// <summary>Makes one; a server shows it once it is in its <see cref="NbdServer.Exports"/>.</summary>
    /// <param name="options">How it is shown.</param>
    /// <param name="edge">The edge that clients' requests go through.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: a text is too long, or the range lies outside of the image.</exception>
    public NbdExport(NbdExportOptions options, BlockEdge edge)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(edge);
        CheckText(options.Name, "name");
        CheckText(options.Description ?? "", "description");
        var length = edge.Length;
        if (options.Offset < 0 || options.Offset > length || (options.Length ?? 0) < 0 || (options.Length ?? 0) > length - options.Offset)
        {
            throw new BlockException(
                ErrorCode.Invalid,
                $"The range {options.Offset}+{options.Length ?? 0} that is to be exported lies outside of the image's {length} bytes",
                edge.Node.FileName);
        }

        this.options = options;
        Edge = edge;
        size = options.Length ?? (length - options.Offset);
        Contexts = new MetaContextCatalog(options.AllocationDepth, [.. options.Bitmaps.Select(bitmap => bitmap.Name)], options.Joint);
        Source = new ContextSource(edge, options.Bitmaps, options.Offset, CanResize ? null : size);
    }

    /// <summary>The name that clients ask for.</summary>
    public string Name => options.Name;

    /// <summary>A text for people, or null.</summary>
    public string? Description => options.Description;

    /// <summary>Bytes that clients see.</summary>
    public long Size => Volatile.Read(ref size);

    /// <summary>Changes are refused.</summary>
    public bool IsReadOnly => options.ReadOnly || Edge.Node.IsReadOnly || (Edge.Permissions.Used & Permissions.Write) == 0;

    /// <summary>How many clients use it now.</summary>
    public int ConnectionCount
    {
        get
        {
            lock (gate)
            {
                return connections.Count;
            }
        }
    }

    /// <summary>What all requests go through.</summary>
    internal BlockEdge Edge { get; }

    /// <summary>The first byte of the image that is shown.</summary>
    internal long Offset => options.Offset;

    /// <summary>What the metadata contexts tell about.</summary>
    internal ContextSource Source { get; }

    /// <summary>Every change is made durable before its reply.</summary>
    internal bool IsWriteThrough => options.WriteThrough;

    /// <summary>The metadata contexts that are offered.</summary>
    internal MetaContextCatalog Contexts { get; }

    /// <summary>Clients may change the length.</summary>
    internal bool CanResize => options.CanResize && !IsReadOnly && options is { Offset: 0, Length: null }
        && (Edge.Permissions.Used & Permissions.Resize) != 0;

    /// <summary>The transmission flags for a client (section "Transmission flags").</summary>
    /// <param name="style">What it has negotiated.</param>
    /// <param name="hasContexts">It has selected metadata contexts of this export, or asks only what it could do if it had.</param>
    internal NbdTransmissionFlags FlagsFor(NbdHeaderStyle style, bool hasContexts)
    {
        var flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.SendCache;
        flags |= IsReadOnly
            ? NbdTransmissionFlags.ReadOnly
            : NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.SendFastZero;
        flags |= CanResize ? NbdTransmissionFlags.SendResize : 0;
        flags |= options.AllowMultiConn ? NbdTransmissionFlags.CanMultiConn : 0;
        flags |= style != NbdHeaderStyle.Simple ? NbdTransmissionFlags.SendDontFragment : 0;
        flags |= style == NbdHeaderStyle.Extended && hasContexts ? NbdTransmissionFlags.BlockStatusPayload : 0;
        return flags;
    }

    /// <summary>The sizes of requests that work; any offset and length does.</summary>
    /// <param name="maxPayload">The server's longest payload.</param>
    internal NbdBlockSize BlockSizeFor(int maxPayload)
    {
        var block = (uint)Math.Min(maxPayload, Math.Max(4096, Edge.Node.Limits.RequestAlignment));
        return new NbdBlockSize(1, BitOperations.IsPow2(block) ? block : 4096, (uint)maxPayload);
    }

    /// <summary>A client starts to use it.</summary>
    /// <returns>False where it has been removed.</returns>
    internal bool TryAttach(ServerConnection connection)
    {
        lock (gate)
        {
            if (isRemoved)
            {
                return false;
            }

            connections.Add(connection);
            return true;
        }
    }

    /// <summary>A client has gone, and all of its requests with it.</summary>
    internal void Detach(ServerConnection connection)
    {
        TaskCompletionSource? done;
        lock (gate)
        {
            connections.Remove(connection);
            done = isRemoved && connections.Count == 0 ? lastLeft : null;
        }

        done?.TrySetResult();
    }

    /// <summary>No client can start to use it any more; those that do are sent away.</summary>
    /// <param name="hard">False: nothing happens while clients use it.</param>
    /// <param name="unused">Completes when the last client has gone.</param>
    /// <returns>False where clients use it and <paramref name="hard"/> is false.</returns>
    internal bool TryRemove(bool hard, out Task unused)
    {
        unused = Task.CompletedTask;
        ServerConnection[] users;
        lock (gate)
        {
            if (connections.Count > 0 && !hard)
            {
                return false;
            }

            isRemoved = true;
            if (connections.Count == 0)
            {
                return true;
            }

            lastLeft ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            unused = lastLeft.Task;
            users = [.. connections];
        }

        foreach (var user in users)
        {
            user.Kill();
        }

        return true;
    }

    /// <summary>
    /// Changes the image's length (NBD_CMD_RESIZE of the extension RESIZE). One change at a time, so that what is shown is what
    /// the last one has left.
    /// </summary>
    /// <param name="length">The new length in bytes.</param>
    /// <exception cref="BlockException">It may not, or the image cannot be resized.</exception>
    internal async ValueTask ResizeAsync(long length)
    {
        await resizing.WaitAsync().ConfigureAwait(false);
        try
        {
            lock (gate)
            {
                if (!CanResize || (length < Size && connections.Count > 1))
                {
                    throw new BlockException(ErrorCode.NotPermitted, "The export may not be resized.", Edge.Node.Name);
                }

                Volatile.Write(ref size, Math.Min(length, Size)); // who comes now sees the new end
            }

            try
            {
                await Edge.ResizeAsync(length).ConfigureAwait(false);
            }
            catch
            {
                Volatile.Write(ref size, Edge.Length);
                throw;
            }

            Volatile.Write(ref size, length);
        }
        finally
        {
            resizing.Release();
        }
    }

    private static void CheckText(string text, string what)
    {
        if (Encoding.UTF8.GetByteCount(text) > NbdLimits.MaxString || text.Contains('\0', StringComparison.Ordinal))
        {
            throw new BlockException(ErrorCode.Invalid, $"An export's {what} is at most {NbdLimits.MaxString} bytes long and holds no NUL");
        }
    }
}
