namespace Byre.Nbd.Client.Extents;

/// <summary>A range of an export, and what all metadata contexts of the connection together say of it.</summary>
/// <param name="Start">First byte.</param>
/// <param name="Length">Bytes, at least 1.</param>
/// <param name="Zero">It reads as zeroes. False where it does not, or nothing is known.</param>
/// <param name="Hole">No space is occupied for it. False where some is, or nothing is known.</param>
/// <param name="Dirty">A dirty bitmap that was asked for has a dirty bit there.</param>
/// <param name="Depth">
/// The layer that decides: 1 for the export's own, 2 for its backing, ..., 0 for none; -1 where no context tells. Where only a
/// joined context tells, 2 stands for any deeper layer.
/// </param>
/// <param name="DirtyIn">
/// Bit i: the i-th of the selected contexts qemu:dirty-bitmap:NAME is dirty, of at most 64; where only byre:joint tells, the
/// i-th bitmap of the export.
/// </param>
public readonly record struct NbdExtent(long Start, long Length, bool Zero, bool Hole, bool Dirty, int Depth, ulong DirtyIn = 0)
{
    /// <summary>The first byte after it.</summary>
    public long End => Start + Length;

    /// <summary>This extent goes on where <paramref name="before"/> ends, and says the same.</summary>
    public bool Continues(in NbdExtent before) =>
        Start == before.End && Zero == before.Zero && Hole == before.Hole && Dirty == before.Dirty && Depth == before.Depth && DirtyIn == before.DirtyIn;
}
