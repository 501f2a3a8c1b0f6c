using Byre.Nodes;

namespace Byre.Bitmaps;

/// <summary>
/// The bitmaps of a node. Every write, zero write, discard and copy through an edge onto the node is recorded once it has
/// ended, well or not, and before its user hears of it. All members may be called at the same time from several threads.
/// </summary>
/// <remarks>Lock order: <c>gate</c>, then a bitmap's own. Recording takes no lock of the tracker.</remarks>
public sealed class BitmapTracker
{
    private readonly Lock gate = new();
    private volatile DirtyBitmap[] bitmaps = [];

    /// <summary>The bitmaps, in the order in which they came.</summary>
    public IReadOnlyList<DirtyBitmap> Bitmaps => bitmaps;

    /// <summary>The bitmap of a name, or null.</summary>
    /// <param name="name">The name.</param>
    public DirtyBitmap? Find(string name)
    {
        foreach (var bitmap in bitmaps)
        {
            if (bitmap.Name == name)
            {
                return bitmap;
            }
        }

        return null;
    }

    /// <summary>Adds a bitmap, which records from now on if it is enabled.</summary>
    /// <param name="bitmap">The bitmap, of the node's length.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Exists"/>: there is one of its name.</exception>
    public void Add(DirtyBitmap bitmap)
    {
        ArgumentNullException.ThrowIfNull(bitmap);
        lock (gate)
        {
            if (Find(bitmap.Name) is not null)
            {
                throw new BlockException(ErrorCode.Exists, $"There is a bitmap '{bitmap.Name}' already");
            }

            bitmaps = [.. bitmaps, bitmap];
        }
    }

    /// <summary>Takes a bitmap away: it records no more.</summary>
    /// <param name="bitmap">The bitmap.</param>
    /// <returns>False where it is not there.</returns>
    public bool Remove(DirtyBitmap bitmap)
    {
        lock (gate)
        {
            var before = bitmaps.Length;
            bitmaps = [.. bitmaps.Where(b => !ReferenceEquals(b, bitmap))];
            return bitmaps.Length < before;
        }
    }

    /// <summary>A range of the node was changed, or may have been.</summary>
    internal void Record(long offset, long length)
    {
        foreach (var bitmap in bitmaps)
        {
            bitmap.Record(offset, length);
        }
    }

    /// <summary>The node has another length.</summary>
    /// <param name="length">The length in bytes.</param>
    /// <param name="growsOnly">A bitmap of a longer node stays as it is.</param>
    internal void Resize(long length, bool growsOnly = false)
    {
        foreach (var bitmap in bitmaps)
        {
            bitmap.Resize(length, growsOnly);
        }
    }

    /// <summary>Throws unless every bitmap can follow the node to another length.</summary>
    /// <exception cref="BlockException">One is in use or inconsistent, or would have too many bits.</exception>
    internal void CheckResize(long length)
    {
        foreach (var bitmap in bitmaps)
        {
            bitmap.CheckResize(length);
        }
    }
}
