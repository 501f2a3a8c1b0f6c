namespace Byre.Nodes;

/// <summary>A node into which the kernel can copy from a host file.</summary>
public interface ICopyRangeTarget
{
    /// <summary>Copies a range of <paramref name="source"/> (a node that stores plain bytes in a host file) to this node.</summary>
    /// <returns>Bytes copied from the front; 0 where it cannot be done.</returns>
    ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode);

    /// <summary>Whether sharing blocks with a file is worth a try; asks the system, writes nothing.</summary>
    /// <param name="source">A node that stores plain bytes in a host file.</param>
    bool MayShareBlocks(BlockNode source);
}
