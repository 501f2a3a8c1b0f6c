using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>
/// A file on a full file system: a sector takes space when it is first written as data, and only so many may. Zeroes take none,
/// whatever was asked for, and discards give it back to somebody else.
/// </summary>
internal sealed class FullNode : BlockNode
{
    private const int Sector = 512;

    private readonly MemoryNode inner;
    private readonly HashSet<long> taken = [];
    private long free;

    /// <summary>A file with some content.</summary>
    /// <param name="content">All of it has space.</param>
    /// <param name="free">How many more sectors there is space for.</param>
    public FullNode(byte[] content, long free)
    {
        inner = new MemoryNode(content);
        for (var sector = 0L; sector * Sector < content.Length; sector++)
        {
            taken.Add(sector);
        }

        this.free = free;
    }

    /// <summary>How many requests failed for lack of space.</summary>
    public int Refused { get; private set; }

    /// <summary>What it stores.</summary>
    public MemoryNode Content => inner;

    public override string DriverName => "full";

    public override string FileName => "test.qcow2";

    public override long Length => inner.Length;

    public override bool GrowsOnWrite => true;

    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => inner.ReadAsync(offset, buffer);

    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        var sectors = Sectors(offset, data.Length).Where(s => !taken.Contains(s)).ToList();
        if (sectors.Count > free)
        {
            Refused++;
            throw new BlockException(ErrorCode.NoSpace, "No space is left", FileName, offset);
        }

        free -= sectors.Count;
        taken.UnionWith(sectors);
        return inner.WriteAsync(offset, data, flags);
    }

    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        if ((flags & WriteFlags.MayUnmap) != 0)
        {
            taken.ExceptWith(Sectors(offset, length));
        }

        return inner.TryWriteZeroesAsync(offset, length, flags);
    }

    public override ValueTask DiscardAsync(long offset, long length)
    {
        taken.ExceptWith(Sectors(offset, length));
        return inner.DiscardAsync(offset, length);
    }

    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => inner.GetExtentsAsync(extents, precision);

    public override ValueTask ResizeAsync(long length, Preallocation preallocation) => inner.ResizeAsync(length, preallocation);

    private static IEnumerable<long> Sectors(long offset, long length)
    {
        for (var sector = offset / Sector; sector * Sector < offset + length; sector++)
        {
            yield return sector;
        }
    }
}
