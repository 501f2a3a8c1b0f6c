using Byre.Graph;
using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>
/// Writes what the layers above a base say into that base, and then empties the top layer if that is wanted. At any moment
/// the top's chain reads the same: what is copied stays above as well until all of it is on stable storage below.
/// </summary>
/// <remarks>Nobody else writes to the chain meanwhile. Edges stay their owner's.</remarks>
public sealed class CommitJob
{
    private readonly BlockEdge top;
    private readonly BlockEdge target;
    private readonly CopyOptions options;

    /// <summary>Prepares a commit.</summary>
    /// <param name="top">The top of the chain; writable if it is to be emptied.</param>
    /// <param name="target">The base: an edge to a layer below the top, which writes and resizes it.</param>
    /// <param name="options">How to copy; what says where the target is zero, and the base, are set here.</param>
    public CommitJob(BlockEdge top, BlockEdge target, CopyOptions options)
    {
        ArgumentNullException.ThrowIfNull(top);
        ArgumentNullException.ThrowIfNull(target);
        ArgumentNullException.ThrowIfNull(options);
        this.top = top;
        this.target = target;
        this.options = options with { BelowBase = target.Node, TargetIsZero = false, TargetZeroFrom = long.MaxValue, Compressed = false };
    }

    /// <summary>The top layer is emptied in the end, where its format can; only right where the base is the layer right below it.</summary>
    public bool EmptiesTop { get; init; }

    /// <summary>Makes the base as long as the top if it is shorter, copies, flushes, and empties the top.</summary>
    /// <param name="cancellation">Ends the copy between two chunks; the base has a part of the changes then, and the chain reads the same.</param>
    /// <returns>What was copied.</returns>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: the target is no layer below the top. <see cref="ErrorCode.NotSupported"/>: the top is to
    /// be emptied, and its format cannot. Or a request failed.
    /// </exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async ValueTask<CopyResult> RunAsync(CancellationToken cancellation = default)
    {
        var emptiable = EmptiesTop ? BackingChain.SkipFilters(top.Node) as IEmptiable ?? throw CannotEmpty() : null;
        if (target.Length < top.Length)
        {
            await target.ResizeAsync(top.Length).ConfigureAwait(false);
        }

        var result = await new CopyEngine([top], target, options).RunAsync(cancellation).ConfigureAwait(false);
        if (emptiable is not null)
        {
            cancellation.ThrowIfCancellationRequested();
            var drain = await top.Node.DrainAsync().ConfigureAwait(false);
            await using (drain.ConfigureAwait(false))
            {
                await emptiable.EmptyAsync().ConfigureAwait(false);
            }
        }

        return result;
    }

    private BlockException CannotEmpty() =>
        new(ErrorCode.NotSupported, $"An image of the format {top.Node.DriverName} cannot be emptied.", top.Node.Name);
}
