using Byre.Bitmaps;

namespace Byre.Nodes;

/// <summary>
/// A format that keeps dirty bitmaps in its image. They are among the node's own (<see cref="BlockNode.Bitmaps"/>) and are
/// stored when the image is closed; after a crash those that may have changed are inconsistent, never wrong.
/// </summary>
/// <remarks>
/// A stored bitmap is read-only until the image says durably that it is in use: the enabled ones from the first change of the
/// disk on, others once <see cref="UseBitmapAsync"/> or a member that changes them was called.
/// </remarks>
public interface IPersistentBitmaps
{
    /// <summary>The image can keep bitmaps: its version has them.</summary>
    bool CanKeepBitmaps { get; }

    /// <summary>The bitmaps, in the order of the image.</summary>
    /// <exception cref="BlockException">They cannot be read, or what the image has of them makes no sense.</exception>
    ValueTask<IReadOnlyList<DirtyBitmap>> ListBitmapsAsync();

    /// <summary>Adds a bitmap with nothing dirty.</summary>
    /// <param name="name">Its name, 1 to 1023 bytes.</param>
    /// <param name="granularity">Bytes of a bit, a power of two from 512 to 2 GiB; 0 for the format's choice.</param>
    /// <param name="isEnabled">It records writes.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Exists"/>, <see cref="ErrorCode.Invalid"/>, <see cref="ErrorCode.TooLarge"/>,
    /// <see cref="ErrorCode.NotSupported"/>: the image cannot have it.
    /// </exception>
    ValueTask<DirtyBitmap> AddBitmapAsync(string name, long granularity, bool isEnabled);

    /// <summary>Removes a bitmap, from the image too, durably.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>, or it is in use, or the image cannot be changed.</exception>
    ValueTask RemoveBitmapAsync(string name);

    /// <summary>Nothing is dirty in a bitmap any more.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>, or it cannot be changed.</exception>
    ValueTask ClearBitmapAsync(string name);

    /// <summary>A bitmap records from now on, or no longer.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="isEnabled">It records.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>, or it cannot be changed.</exception>
    ValueTask EnableBitmapAsync(string name, bool isEnabled);

    /// <summary>What is dirty in another bitmap becomes dirty in one of the image. The granularities may differ.</summary>
    /// <param name="name">The image's bitmap.</param>
    /// <param name="source">The other; of a disk of the same length.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>, or they cannot be merged.</exception>
    ValueTask MergeBitmapAsync(string name, DirtyBitmap source);

    /// <summary>Makes a bitmap one that can be changed directly: should the program die, it is inconsistent.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>, or it cannot be changed.</exception>
    ValueTask<DirtyBitmap> UseBitmapAsync(string name);
}
