using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Copy;

/// <summary>
/// Takes writes and compares them with what another image holds already: a copy to it is a comparison. Where zeroes are written
/// and the image says it has zeroes, nothing is read.
/// </summary>
/// <param name="image">The image; the edge stays its owner's.</param>
/// <param name="length">How much of it is compared, in bytes.</param>
/// <param name="title">What messages call it.</param>
internal sealed class ComparingNode(BlockEdge image, long length, string title) : BlockNode
{
    private const int Piece = 1 << 20;
    private const int MostExtents = 512;

    private BlockException? failure;

    /// <summary>The first difference that was found, or why the image cannot be read back; null where there is no such thing.</summary>
    public BlockException? Failure => Volatile.Read(ref failure);

    /// <inheritdoc/>
    public override string DriverName => "compare";

    /// <inheritdoc/>
    public override long Length => length;

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => image.ReadAsync(offset, buffer);

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        using var there = BufferPool.Rent(data.Length);
        await ReadBackAsync(offset, there.Memory).ConfigureAwait(false);
        var same = data.Span.CommonPrefixLength(there.Memory.Span);
        if (same < data.Length)
        {
            throw Differs(offset + same);
        }
    }

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        var extents = new ExtentList();
        var chain = new BackingChain(image);
        for (var at = offset; at < offset + length;)
        {
            extents.Reset(at, offset + length - at, MostExtents);
            await chain.GetExtentsAsync(extents, ExtentPrecision.Exact).ConfigureAwait(false);
            for (var i = 0; i < extents.Count; i++)
            {
                var extent = extents.Items[i];
                if (!extent.ReadsAsZero)
                {
                    await CheckZeroesAsync(extent.Start, extent.Length).ConfigureAwait(false);
                }
            }

            at = extents.End;
        }

        return true;
    }

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => image.GetExtentsAsync(extents, precision);

    private async ValueTask CheckZeroesAsync(long offset, long length)
    {
        using var there = BufferPool.Rent((int)Math.Min(length, Piece));
        for (var end = offset + length; offset < end;)
        {
            var memory = there.Memory[..(int)Math.Min(end - offset, Piece)];
            await ReadBackAsync(offset, memory).ConfigureAwait(false);
            var first = memory.Span.IndexOfAnyExcept((byte)0);
            if (first >= 0)
            {
                throw Differs(offset + first);
            }

            offset += memory.Length;
        }
    }

    private async ValueTask ReadBackAsync(long offset, Memory<byte> memory)
    {
        try
        {
            await image.ReadAsync(offset, memory).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw Note(new BlockException(e.Code, $"verify: '{title}' cannot be read back at byte {offset}: {e.Message}", e.NodeName, e.Offset, e, e.Errno));
        }
    }

    private BlockException Differs(long offset) =>
        Note(new BlockException(ErrorCode.Corrupt, $"verify: '{title}' differs from the source at byte {offset}", image.Node.Name, offset));

    private BlockException Note(BlockException e) => Interlocked.CompareExchange(ref failure, e, null) ?? e;
}
