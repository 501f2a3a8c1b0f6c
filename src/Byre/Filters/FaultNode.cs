using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// A filter that fails, delays or cuts short the n-th request of a kind, for tests of what happens then. It passes on all
/// others. What a failing request reports is an errno, as a device's error is.
/// </summary>
/// <remarks>Lock order: <c>gate</c> is a leaf; nothing is called or awaited while it is held.</remarks>
public sealed class FaultNode : FilterNode
{
    private readonly Lock gate = new();
    private readonly List<Armed> armed;
    private readonly Dictionary<FaultKinds, long> seen = [];
    private long hits;

    /// <summary>Makes the filter, which owns the edge from now on.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: a rule has a number out of its range.</exception>
    public FaultNode(BlockEdge image, FaultOptions options)
        : base(Check(image, options)) => armed = [.. options.Rules.Select(rule => new Armed(rule))];

    /// <inheritdoc/>
    public override string DriverName => "fault";

    /// <summary>How many requests a rule has hit so far.</summary>
    public long Hits
    {
        get
        {
            lock (gate)
            {
                return hits;
            }
        }
    }

    /// <summary>Adds a rule, which counts from the next request on.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it has a number out of its range.</exception>
    public void Add(FaultRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        rule.Validate();
        lock (gate)
        {
            armed.Add(new Armed(rule));
        }
    }

    /// <summary>Forgets all rules; what was counted (<see cref="CountOf"/>) stays.</summary>
    public void Clear()
    {
        lock (gate)
        {
            armed.Clear();
        }
    }

    /// <summary>How many requests of some kinds have come so far.</summary>
    public long CountOf(FaultKinds kinds)
    {
        lock (gate)
        {
            return seen.Where(s => (s.Key & kinds) != 0).Sum(s => s.Value);
        }
    }

    /// <inheritdoc/>
    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        await DelayOrFailAsync(FaultKinds.Read, offset).ConfigureAwait(false);
        await Image.ReadAsync(offset, buffer).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        var rule = await DelayOrFailAsync(FaultKinds.Write, offset).ConfigureAwait(false);
        if (rule is null)
        {
            await Image.WriteAsync(offset, data, flags).ConfigureAwait(false);
            return;
        }

        await Image.WriteAsync(offset, data[..(int)Math.Min(rule.Bytes, data.Length)], flags).ConfigureAwait(false);
        throw Failure(rule, offset);
    }

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        var rule = await DelayOrFailAsync(FaultKinds.WriteZeroes, offset).ConfigureAwait(false);
        if (rule is null)
        {
            return await base.TryWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
        }

        await Image.WriteZeroesAsync(offset, Math.Min(rule.Bytes, length), flags).ConfigureAwait(false);
        throw Failure(rule, offset);
    }

    /// <inheritdoc/>
    public override async ValueTask DiscardAsync(long offset, long length)
    {
        var rule = await DelayOrFailAsync(FaultKinds.Discard, offset).ConfigureAwait(false);
        if (rule is null)
        {
            await Image.DiscardAsync(offset, length).ConfigureAwait(false);
            return;
        }

        await Image.DiscardAsync(offset, Math.Min(rule.Bytes, length)).ConfigureAwait(false);
        throw Failure(rule, offset);
    }

    /// <inheritdoc/>
    public override async ValueTask SyncAsync()
    {
        await DelayOrFailAsync(FaultKinds.Flush, null).ConfigureAwait(false);
        await base.SyncAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override async ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        await DelayOrFailAsync(FaultKinds.Resize, null).ConfigureAwait(false);
        await Image.ResizeAsync(length, preallocation).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override async ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        await DelayOrFailAsync(FaultKinds.Extents, extents.Offset).ConfigureAwait(false);
        await base.GetExtentsAsync(extents, precision).ConfigureAwait(false);
    }

    private static bool CanBeCut(FaultKinds kind) => kind is FaultKinds.Write or FaultKinds.WriteZeroes or FaultKinds.Discard;

    private static BlockEdge Check(BlockEdge image, FaultOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        foreach (var rule in options.Rules)
        {
            rule.Validate(); // throws while the edge is still its owner's
        }

        return image;
    }

    /// <summary>Counts the request, and does what the rule that hits it says, if one does.</summary>
    /// <returns>The rule by which the request is to be cut short, or null: it goes on.</returns>
    private async ValueTask<FaultRule?> DelayOrFailAsync(FaultKinds kind, long? offset)
    {
        var rule = CountRequest(kind);
        switch (rule?.Action)
        {
            case null:
                return null;
            case FaultAction.Delay:
                await Task.Delay(rule.Delay).ConfigureAwait(false);
                return null;
            case FaultAction.CutShort when CanBeCut(kind):
                return rule;
            default:
                throw Failure(rule, offset);
        }
    }

    private FaultRule? CountRequest(FaultKinds kind)
    {
        lock (gate)
        {
            seen[kind] = seen.GetValueOrDefault(kind) + 1;
            FaultRule? hit = null;
            foreach (var rule in armed)
            {
                if (rule.Counts(kind))
                {
                    hit ??= rule.Rule;
                }
            }

            hits += hit is null ? 0 : 1;
            return hit;
        }
    }

    private BlockException Failure(FaultRule rule, long? offset) =>
        BlockException.FromErrno(rule.Errno, "A fault rule fails the request", Name, offset);

    private sealed class Armed(FaultRule rule)
    {
        private long count;

        public FaultRule Rule => rule;

        /// <summary>Counts a request.</summary>
        /// <returns>The rule hits it.</returns>
        public bool Counts(FaultKinds kind) =>
            (rule.Kinds & kind) != 0 && ++count >= rule.First && count - rule.First < rule.Count;
    }
}
