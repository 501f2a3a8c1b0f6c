using Byre.Bitmaps;
using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>A persistent bitmap, in memory and as the directory on disk has it.</summary>
/// <param name="bitmap">The bitmap.</param>
/// <param name="entry">What the directory has of it.</param>
/// <param name="isOnDisk">The directory has it; else it is new.</param>
internal sealed class StoredBitmap(DirtyBitmap bitmap, BitmapDirectoryEntry entry, bool isOnDisk)
{
    /// <summary>The bitmap in memory.</summary>
    public DirtyBitmap Bitmap => bitmap;

    /// <summary>The directory's entry: as it is on disk or, of a new bitmap, as it will be but for the table.</summary>
    public BitmapDirectoryEntry Entry { get; set; } = entry;

    /// <summary>The directory on disk has it.</summary>
    public bool IsOnDisk { get; set; } = isOnDisk;

    /// <summary>What is on disk is not what is in memory, and says so: it is written when the image is closed.</summary>
    public bool IsMarked { get; set; }

    /// <summary>It is used; one that was found in use, or whose extra data nobody knows, is only kept.</summary>
    public bool IsUsable => !bitmap.IsInconsistent;
}
