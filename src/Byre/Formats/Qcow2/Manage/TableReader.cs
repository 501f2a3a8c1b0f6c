using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Reads tables of an image file; what lies behind its end reads as zeroes.</summary>
internal sealed class TableReader(BlockEdge file)
{
    /// <summary>The most that is read at once, in bytes: a power of two, at least a cluster.</summary>
    public const int BatchSize = 2 << 20;

    /// <summary>The file.</summary>
    public BlockEdge File => file;

    /// <summary>The file's length when the check began.</summary>
    public long FileLength { get; } = file.Length;

    /// <summary>Fills a buffer.</summary>
    public ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var inFile = (int)Math.Clamp(FileLength - offset, 0, buffer.Length);
        buffer.Span[inFile..].Clear();
        return inFile == 0 ? default : file.ReadAsync(offset, buffer[..inFile]);
    }
}
