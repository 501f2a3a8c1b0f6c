using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using Byre.Bitmaps;
using Byre.Graph;
using Byre.Requests;

namespace Byre.Nodes;

/// <summary>
/// A driver instance: what a driver's author writes. Its arguments are already valid: inside [0, Length), aligned to
/// <see cref="Limits"/> (but where Length itself is not aligned a request may end at it), no longer than they allow,
/// permitted. Callers never call a node; they call a <see cref="BlockEdge"/>. All members may be called at the same time
/// from several threads.
/// </summary>
public abstract class BlockNode : IAsyncDisposable
{
    private readonly Lock parentsLock = new();
    private readonly List<BlockEdge> parents = [];
    private readonly List<Drain> drains = [];
    private BitmapTracker? bitmaps;
    private bool closed;

    /// <summary>Makes a node.</summary>
    protected BlockNode()
    {
        Tracker = new RequestTracker();
        Flushes = new FlushRounds(this);
    }

    /// <summary>The node's name, unique in a graph. Made up by the graph ("#block001") unless given.</summary>
    public string Name { get; set; } = "";

    /// <summary>The driver's name as options and JSON say it: "qcow2", "raw", "file".</summary>
    public abstract string DriverName { get; }

    /// <summary>The file name a person knows the node by; empty where there is none.</summary>
    public virtual string FileName => PrimaryChild?.Node.FileName ?? "";

    /// <summary>Length in bytes.</summary>
    public abstract long Length { get; }

    /// <summary>Writing is refused whatever the permissions say.</summary>
    public virtual bool IsReadOnly => false;

    /// <summary>
    /// A write or write-zeroes past <see cref="Length"/> extends the node to the request's end (for edges that hold the Resize
    /// permission); what is between the old end and the request reads as zeroes.
    /// </summary>
    public virtual bool GrowsOnWrite => false;

    /// <summary>
    /// Its users share it with everybody, whatever they would want (QEMU's force-share, -U). For looking at an image that
    /// somebody else may be writing; the node must be read-only. Set before the first edge is attached.
    /// </summary>
    public bool ForceShare { get; set; }

    /// <summary>
    /// Discards of its users do nothing, and zeroed ranges keep their space (QEMU's discard=ignore). Set before the first edge
    /// is attached.
    /// </summary>
    public bool IgnoresDiscards { get; set; }

    /// <summary>
    /// A flush takes what the node caches to its children and asks nobody for stable storage: the end of a flush then says
    /// nothing of what a crash of the machine behind it leaves. Set before anything is written, and left so: what was written
    /// meanwhile counts as flushed.
    /// </summary>
    public bool IgnoresFlushes { get; set; }

    /// <summary>What becomes of writes that hold nothing but zeroes. Set before the first edge is attached.</summary>
    public ZeroDetection ZeroDetection { get; set; }

    /// <summary>What the node wants of requests.</summary>
    public virtual BlockLimits Limits => BlockLimits.Default;

    /// <summary>The edges to its children, in a fixed order.</summary>
    public virtual IReadOnlyList<BlockEdge> Children => [];

    /// <summary>The child with <see cref="ChildRole.Primary"/>, or null.</summary>
    public BlockEdge? PrimaryChild
    {
        get
        {
            foreach (var child in Children)
            {
                if ((child.Role & ChildRole.Primary) != 0)
                {
                    return child;
                }
            }

            return null;
        }
    }

    /// <summary>Reads; fills the whole buffer.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="buffer">Filled; never empty.</param>
    public abstract ValueTask ReadAsync(long offset, Memory<byte> buffer);

    /// <summary>Writes the whole of <paramref name="data"/>.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">Never empty. Valid until the task completes.</param>
    /// <param name="flags">Of Fua (only if <see cref="SupportedWriteFlags"/> has it), Unchanged, Compressed.</param>
    public abstract ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags);

    /// <summary>The flags that <see cref="WriteAsync"/> does itself; the edge emulates Fua by a flush where it is missing.</summary>
    public virtual WriteFlags SupportedWriteFlags => WriteFlags.None;

    /// <summary>Makes the range read as zeroes by other means than writing zeroes.</summary>
    /// <returns>False where that cannot be done for this range: the edge then writes zeroes, unless told not to.</returns>
    public virtual ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags) => new(false);

    /// <summary>Gives space back. What the range reads as afterwards is the driver's affair; doing nothing is valid.</summary>
    public virtual ValueTask DiscardAsync(long offset, long length) => default;

    /// <summary>Writes the node's own caches to its children, in an order that a crash cannot break.</summary>
    public virtual ValueTask WriteBackAsync() => default;

    /// <summary>Brings everything written before to stable storage. By default flushes every child the node writes to.</summary>
    public virtual async ValueTask SyncAsync()
    {
        foreach (var child in Children)
        {
            if ((child.Permissions.Used & (Permissions.Write | Permissions.WriteUnchanged)) != 0)
            {
                await child.FlushAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Appends what this layer says of the range asked about (see <see cref="ExtentList"/> for the rules).</summary>
    public abstract ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision);

    /// <summary>Changes the length.</summary>
    /// <param name="length">The new length in bytes.</param>
    /// <param name="preallocation">What is allocated of a grown range.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/> where the driver cannot.</exception>
    public virtual ValueTask ResizeAsync(long length, Preallocation preallocation) =>
        throw new BlockException(ErrorCode.NotSupported, $"The {DriverName} driver cannot resize an image.", Name);

    /// <summary>What the node needs of a child, given what its own parents use and share. Pure.</summary>
    /// <param name="role">The child's role.</param>
    /// <param name="parents">The union of what the parents use, and the intersection of what they share.</param>
    public virtual PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) => parents;

    /// <summary>The solver's verdict for the node is about to change: take what it needs (locks), or throw.</summary>
    /// <param name="permissions">The union of what parents will use, and the intersection of what they will share.</param>
    public virtual void PreparePermissions(PermissionSet permissions)
    {
    }

    /// <summary>The prepared permissions hold from now on: give back what is no longer needed.</summary>
    public virtual void CommitPermissions()
    {
    }

    /// <summary>The prepared permissions were given up: give back what was taken.</summary>
    public virtual void AbortPermissions()
    {
    }

    /// <summary>A parent reached a point that the blkdebug driver can hang a fault on.</summary>
    public virtual void OnDebugEvent(BlkdebugEvent debugEvent)
    {
    }

    /// <summary>The edges that lead to this node now: those of parent nodes and those of users.</summary>
    public IReadOnlyList<BlockEdge> Parents
    {
        get
        {
            lock (parentsLock)
            {
                return [.. parents];
            }
        }
    }

    /// <summary>The dirty bitmaps that follow the node's changes, or null where nobody has wanted one.</summary>
    public BitmapTracker? Bitmaps => Volatile.Read(ref bitmaps);

    /// <summary>The node's dirty bitmaps, to add one to.</summary>
    public BitmapTracker TrackBitmaps() => Bitmaps ?? Interlocked.CompareExchange(ref bitmaps, new BitmapTracker(), null) ?? bitmaps;

    /// <summary>The graph it is part of, or null.</summary>
    internal BlockGraph? Graph { get; set; }

    /// <summary>What its users use and share together, as its driver was last told.</summary>
    internal PermissionSet Granted { get; set; } = PermissionSet.Nothing;

    /// <summary>The requests in flight.</summary>
    internal RequestTracker Tracker { get; }

    /// <summary>The flushes.</summary>
    internal FlushRounds Flushes { get; }

    /// <summary>Held while the length changes.</summary>
    internal SemaphoreSlim ResizeLock { get; } = new(1, 1);

    /// <summary>
    /// Stops new requests of users to this node, what is below it and what is above any of these, and waits for those in
    /// flight; they go on when the drain is disposed.
    /// </summary>
    public ValueTask<Drain> DrainAsync() => Drain.BeginAsync(this);

    /// <summary>
    /// For a driver that changes what all of its requests rely on: as <see cref="DrainAsync"/>. The driver's own requests to its
    /// children pass.
    /// </summary>
    /// <returns>What lets users' requests go on when it is disposed.</returns>
    protected async ValueTask<IAsyncDisposable> HoldUsersAsync() => await Drain.BeginAsync(this).ConfigureAwait(false);

    /// <summary>
    /// Writes back, closes and lets go of the children. Called once, when the last parent has left; a node that never had
    /// a parent is disposed by who made it.
    /// </summary>
    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        Exception? failure = null;
        foreach (var child in Children)
        {
            try
            {
                await child.DisposeAsync().ConfigureAwait(false);
            }
            catch (Exception e)
            {
                failure ??= e; // the other children are let go of all the same
            }
        }

        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    /// <summary>A change of a range has ended, well or not: flushes and bitmaps take note of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void MarkChanged(long offset, long length)
    {
        Flushes.MarkWritten();
        if (bitmaps is not null)
        {
            RecordChange(offset, length);
        }
    }

    /// <summary>An edge arrives. The node's children learn who their parent is.</summary>
    internal void AddParent(BlockEdge edge)
    {
        Drain[] over;
        lock (parentsLock)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            parents.Add(edge);
            over = [.. drains];
        }

        IncludeIn(over, edge.Parent);
        foreach (var child in Children)
        {
            if (child.Parent is null)
            {
                child.Parent = this;
                IncludeIn(child.Node.Drains, this);
            }
        }
    }

    /// <summary>An edge leaves.</summary>
    /// <returns>True if it was the last: then nobody can arrive any more, and the caller closes the node.</returns>
    internal bool RemoveParent(BlockEdge edge)
    {
        lock (parentsLock)
        {
            return parents.Remove(edge) && parents.Count == 0 && (closed = true);
        }
    }

    private void RecordChange(long offset, long length)
    {
        var tracker = Bitmaps!;
        if (GrowsOnWrite)
        {
            tracker.Resize(offset + length, growsOnly: true);
        }

        tracker.Record(offset, length);
    }

    private static void IncludeIn(IEnumerable<Drain> over, BlockNode? parent)
    {
        if (parent is not null)
        {
            foreach (var drain in over)
            {
                drain.Include(parent);
            }
        }
    }

    private Drain[] Drains
    {
        get
        {
            lock (parentsLock)
            {
                return [.. drains];
            }
        }
    }

    /// <summary>The node is drained.</summary>
    internal void AddDrain(Drain drain)
    {
        lock (parentsLock)
        {
            drains.Add(drain);
        }
    }

    /// <summary>A drain has ended.</summary>
    internal void RemoveDrain(Drain drain)
    {
        lock (parentsLock)
        {
            drains.Remove(drain);
        }
    }

    /// <summary>Nobody uses the node any more: waits for what is in flight, flushes what was written, disposes.</summary>
    /// <exception cref="BlockException">The flush or the disposal failed; the node is closed all the same.</exception>
    internal async ValueTask CloseAsync()
    {
        await Tracker.CloseAsync().ConfigureAwait(false);
        Exception? failure = null;
        if (!IsReadOnly)
        {
            try
            {
                await Flushes.FlushAsync().ConfigureAwait(false);
            }
            catch (Exception e)
            {
                failure = e; // thrown once the node is closed
            }
        }

        try
        {
            await DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception) when (failure is not null)
        {
            // The first failure is the cause.
        }

        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }
}
