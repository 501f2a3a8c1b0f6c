using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// The blkdebug driver: passes requests on, and fails or stops them by rules that hang on the events that the nodes above
/// report. Rules and options are QEMU's (docs/devel/testing/blkdebug.rst there). It can also pretend other limits.
/// </summary>
/// <remarks>
/// A request that stops at a breakpoint blocks its thread: whoever sets breakpoints must start requests where that does
/// no harm.
/// </remarks>
public sealed class BlkdebugNode : FilterNode, IGivenOptions
{
    private readonly BlkdebugOptions options;
    private readonly BlkdebugRules rules;
    private readonly BlkdebugBreakpoints breakpoints = new();
    private readonly BlockLimits limits;

    /// <summary>Makes the filter, which owns the edge from now on.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/> where options contradict each other.</exception>
    public BlkdebugNode(BlockEdge image, BlkdebugOptions options)
        : base(Check(image, options))
    {
        limits = options.MakeLimits(image.Node.Limits);
        this.options = options;
        rules = new BlkdebugRules(options);
    }

    /// <summary>The file its rules come from, as it was named, and nothing else was asked of it; null where options were given.</summary>
    public string? ConfigName => options.ConfigName;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> GivenOptions => options.Given;

    /// <summary>Called with the tag, on the request's thread, when a request stops at a breakpoint.</summary>
    public Action<string>? RequestSuspended
    {
        get => breakpoints.Suspended;
        set => breakpoints.Suspended = value;
    }

    /// <inheritdoc/>
    public override string DriverName => "blkdebug";

    /// <inheritdoc/>
    public override BlockLimits Limits => limits;

    /// <summary>How many requests stand at breakpoints (a request at two breakpoints counts twice).</summary>
    public int SuspendedCount => breakpoints.SuspendedCount;

    /// <summary>The state number of the rules; 1 at first.</summary>
    public int State => rules.State;

    /// <summary>The next request that reaches <paramref name="at"/> stops there, under the name <paramref name="tag"/>.</summary>
    public void AddBreakpoint(BlkdebugEvent at, string tag) => breakpoints.Add(at, tag);

    /// <summary>Forgets the breakpoints of a tag that no request has reached, and resumes all requests that stand at it.</summary>
    /// <returns>False where there was no breakpoint left to forget.</returns>
    public bool RemoveBreakpoint(string tag) => breakpoints.Remove(tag);

    /// <summary>Lets go the request that stopped last at <paramref name="tag"/>.</summary>
    /// <returns>False where none stands there.</returns>
    public bool Resume(string tag) => breakpoints.Resume(tag);

    /// <summary>How many requests stand at <paramref name="tag"/>.</summary>
    public int CountSuspended(string tag) => breakpoints.CountSuspended(tag);

    /// <summary>A request stands at <paramref name="tag"/>.</summary>
    public bool IsSuspended(string tag) => CountSuspended(tag) > 0;

    /// <summary>Forgets every breakpoint and lets all requests go.</summary>
    public void ResumeAll() => breakpoints.Close();

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) =>
        Failure(BlkdebugIoTypes.Read, offset, buffer.Length) is { } e
            ? ValueTask.FromException(e)
            : base.ReadAsync(offset, buffer);

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) =>
        Failure(BlkdebugIoTypes.Write, offset, data.Length) is { } e
            ? ValueTask.FromException(e)
            : base.WriteAsync(offset, data, flags);

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        // Less than the best length is left to writes, so that a test sees the fallback.
        if (length < Math.Max(limits.RequestAlignment, options.OptimalWriteZeroes))
        {
            return false;
        }

        if (Failure(BlkdebugIoTypes.WriteZeroes, offset, length) is { } e)
        {
            throw e;
        }

        return await base.TryWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length)
    {
        if (length < Math.Max(limits.RequestAlignment, options.OptimalDiscard))
        {
            return default;
        }

        return Failure(BlkdebugIoTypes.Discard, offset, length) is { } e
            ? ValueTask.FromException(e)
            : base.DiscardAsync(offset, length);
    }

    /// <inheritdoc/>
    public override ValueTask SyncAsync() =>
        Failure(BlkdebugIoTypes.Flush, 0, 0) is { } e ? ValueTask.FromException(e) : base.SyncAsync();

    /// <inheritdoc/>
    public override async ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        if (Failure(BlkdebugIoTypes.BlockStatus, extents.Offset, extents.Length) is { } e)
        {
            throw e;
        }

        await base.GetExtentsAsync(extents, precision).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) => new(
        parents.Used | options.TakeChildPermissions, parents.Shared & ~options.UnshareChildPermissions);

    /// <inheritdoc/>
    public override void OnDebugEvent(BlkdebugEvent debugEvent)
    {
        rules.OnEvent(debugEvent);
        breakpoints.OnEvent(debugEvent);
    }

    /// <inheritdoc/>
    public override ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        breakpoints.Close();
        return base.DisposeAsync();
    }

    private static BlockEdge Check(BlockEdge image, BlkdebugOptions options)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(options);
        _ = options.MakeLimits(image.Node.Limits); // throws while the edge is still its owner's
        return image;
    }

    private BlockException? Failure(BlkdebugIoTypes type, long offset, long length)
    {
        var errno = rules.Check(type, offset, length);
        return errno == 0 ? null : BlockException.FromErrno(errno, "A blkdebug rule fails the request", Name, offset);
    }
}
