namespace Byre.Nodes;

/// <summary>
/// An image that keeps earlier states of its disk within itself. Requests of users wait while one of these is at work, and go
/// on afterwards; what changes something needs an edge that may write, and is on stable storage when it completes.
/// </summary>
public interface ISnapshotStore
{
    /// <summary>The snapshots, in the image's order.</summary>
    /// <exception cref="BlockException">The list cannot be read, or makes no sense.</exception>
    ValueTask<IReadOnlyList<SnapshotInfo>> ListSnapshotsAsync();

    /// <summary>Keeps the disk as it is now as a snapshot, behind those there are.</summary>
    /// <returns>The snapshot, with its id: one more than the highest number among those of the others.</returns>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.ReadOnly"/>: the image is open for reading; <see cref="ErrorCode.NotSupported"/>: images of this
    /// kind keep none, or no such date; <see cref="ErrorCode.TooLarge"/>: a limit of the format is reached. The image is as it
    /// was then, and so is its disk after any other failure.
    /// </exception>
    ValueTask<SnapshotInfo> CreateSnapshotAsync(SnapshotRequest request);

    /// <summary>Makes the disk what it was when a snapshot was taken, its length included. The snapshot stays.</summary>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.NotFound"/>: there is none; <see cref="ErrorCode.Busy"/>: dirty bitmaps follow the disk; otherwise as
    /// <see cref="CreateSnapshotAsync"/>.
    /// </exception>
    ValueTask ApplySnapshotAsync(SnapshotSelector which);

    /// <summary>Removes a snapshot; what only it holds becomes free. The disk stays as it is.</summary>
    /// <exception cref="BlockException">As <see cref="ApplySnapshotAsync"/>.</exception>
    ValueTask DeleteSnapshotAsync(SnapshotSelector which);

    /// <summary>From now on the node shows a snapshot, with the length that the disk had then. For nodes that are only read.</summary>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.NotFound"/>: there is none; <see cref="ErrorCode.Invalid"/>: the node is open for writing.
    /// </exception>
    ValueTask ShowSnapshotAsync(SnapshotSelector which);
}
