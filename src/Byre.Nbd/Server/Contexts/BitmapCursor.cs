using Byre.Bitmaps;

namespace Byre.Nbd.Server.Contexts;

/// <summary>Goes through a bitmap in ascending order. One caller at a time.</summary>
/// <param name="bitmap">The bitmap.</param>
internal sealed class BitmapCursor(DirtyBitmap bitmap)
{
    private long start;
    private long dirtyStart;
    private long dirtyEnd;

    /// <summary>Where the present piece ends, as an offset in the node.</summary>
    public long End { get; private set; }

    /// <summary>The present piece is dirty.</summary>
    public bool IsDirty { get; private set; }

    /// <summary>Forgets what was learned.</summary>
    public void Begin() => (start, End, dirtyStart, dirtyEnd) = (0, 0, 0, 0);

    /// <summary>Goes to the piece that holds an offset. What lies behind the bitmap's end is clean.</summary>
    /// <param name="at">The offset in the node; not before that of the last move.</param>
    /// <param name="end">Nothing is wanted from here on.</param>
    public void Move(long at, long end)
    {
        if (at >= start && at < End)
        {
            return;
        }

        if (at >= dirtyEnd)
        {
            if (!bitmap.TryNextDirty(at, end, out dirtyStart, out var count))
            {
                (dirtyStart, count) = (end, 0);
            }

            dirtyEnd = dirtyStart + count;
        }

        start = at;
        IsDirty = at >= dirtyStart;
        End = IsDirty ? dirtyEnd : dirtyStart;
    }
}
