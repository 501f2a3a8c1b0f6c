using Byre.Filters;
using Byre.Nodes;

namespace Byre.Crash;

/// <summary>
/// A filter that takes copies as a host file does, of which the kernel copies all, the front, or nothing. What is copied is a
/// write to what is below.
/// </summary>
internal sealed class KernelCopyNode(BlockNode below) : FilterNode(
    new BlockEdge(below, ChildRole.Filtered | ChildRole.Primary, new(Permissions.All, Permissions.All), "file")), ICopyRangeTarget
{
    private int copies;

    public override string DriverName => "kernel-copy";

    public async ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        var front = (Interlocked.Increment(ref copies) % 4) switch
        {
            0 => 0,
            1 => length / 3 / SectorContent.Size * SectorContent.Size,
            _ => length,
        };
        var bytes = new byte[front];
        if (front > 0)
        {
            await source.ReadAsync(sourceOffset, bytes);
            await Image.WriteAsync(offset, bytes);
        }

        return front;
    }

    public bool MayShareBlocks(BlockNode source) => true;
}
