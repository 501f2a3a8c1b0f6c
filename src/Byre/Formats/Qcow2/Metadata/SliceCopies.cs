using System.Buffers;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>Copies of dirty slices in the order of their offsets, on their way to the file.</summary>
internal sealed class SliceCopies : IDisposable
{
    private const int LongestWrite = 1 << 20;

    private readonly IMemoryOwner<byte> buffer;
    private readonly int sliceSize;

    /// <summary>Copies the slices, which are sorted by offset. The caller holds the metadata lock.</summary>
    public SliceCopies(CacheSlice[] slices, int sliceSize)
    {
        Slices = slices;
        this.sliceSize = sliceSize;
        buffer = BufferPool.Rent(checked(slices.Length * sliceSize));
        for (var i = 0; i < slices.Length; i++)
        {
            slices[i].Bytes.CopyTo(buffer.Memory.Span[(i * sliceSize)..]);
        }
    }

    /// <summary>Whose copies they are.</summary>
    public CacheSlice[] Slices { get; }

    /// <summary>Writes the copies, neighbours in one write.</summary>
    public async ValueTask WriteAsync(BlockEdge file)
    {
        for (var first = 0; first < Slices.Length;)
        {
            var next = first + 1;
            while (next < Slices.Length && Slices[next].Offset == Slices[next - 1].Offset + sliceSize
                && (next - first + 1) * (long)sliceSize <= LongestWrite)
            {
                next++;
            }

            await file.WriteAsync(Slices[first].Offset, buffer.Memory[(first * sliceSize)..(next * sliceSize)]).ConfigureAwait(false);
            first = next;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => buffer.Dispose();
}
