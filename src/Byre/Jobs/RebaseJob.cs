using Byre.Graph;
using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>
/// Gives an image another backing file and keeps what it reads: what differs between the old backing chain and the new one is
/// copied into the image first; when that is on stable storage, one write changes the reference. At any moment the image
/// reads the same over the backing file that it names.
/// </summary>
/// <remarks>Nobody writes to any of the images meanwhile. Edges stay their owner's. The open image keeps its old backing layer.</remarks>
public sealed class RebaseJob
{
    private readonly BlockEdge image;
    private readonly BlockEdge? backing;
    private readonly CopyOptions options;
    private readonly IBackingReference reference;

    /// <summary>Prepares a rebase.</summary>
    /// <param name="image">The image, writable, open over its old backing layer if it has one.</param>
    /// <param name="backing">The new backing layer; null for none.</param>
    /// <param name="options">How to copy; what is copied is set here.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: an image of its format has no backing file.</exception>
    public RebaseJob(BlockEdge image, BlockEdge? backing, CopyOptions options)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(options);
        this.image = image;
        this.backing = backing;
        this.options = options;
        reference = ReferenceOf(image.Node);
    }

    /// <summary>The backing file's name as it is stored; null for none.</summary>
    public string? BackingFileName { get; init; }

    /// <summary>The backing file's format as it is stored; null for none.</summary>
    public string? BackingFormat { get; init; }

    /// <summary>Tells whether two layers are the same image in the same format, so that what both decide need not be read.</summary>
    public Func<BlockNode, BlockNode, bool> IsSameImage { get; init; } = ReferenceEquals;

    /// <summary>The part of a node that changes its reference.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: it has none.</exception>
    public static IBackingReference ReferenceOf(BlockNode node) => BackingChain.SkipFilters(node) as IBackingReference
        ?? throw new BlockException(ErrorCode.NotSupported, $"An image of the format {node.DriverName} has no backing file", node.Name);

    /// <summary>Copies what differs, flushes, and changes the reference.</summary>
    /// <param name="cancellation">Ends the copy between two chunks; the image reads the same, and keeps its backing file.</param>
    /// <returns>What was copied.</returns>
    /// <exception cref="BlockException">The reference cannot be stored (nothing is changed then), or a request failed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async ValueTask<CopyResult> RunAsync(CancellationToken cancellation = default)
    {
        reference.CheckBackingReference(BackingFileName, BackingFormat);
        var grain = (int)Math.Clamp(
            options.Compressed ? Math.Max(options.CompressionUnit, 512) : image.Node.Limits.WriteZeroesAlignment, 512, 2 << 20);
        var engine = new CopyEngine([image], image, options with
        {
            Walker = () => new RebaseWalker(image, backing, reference.KeepsZeroes, IsSameImage),
            LeaveOut = new LeaveOut(backing, reference.KeepsZeroes, grain),
            SparseBytes = grain,
        });
        var result = await engine.RunAsync(cancellation).ConfigureAwait(false);
        cancellation.ThrowIfCancellationRequested();
        await reference.ChangeBackingReferenceAsync(BackingFileName, BackingFormat).ConfigureAwait(false);
        return result;
    }
}
