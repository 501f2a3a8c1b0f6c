using Byre.Nodes;
using Byre.Storage;

namespace Byre.Requests;

/// <summary>
/// Makes any range of a node read as zeroes: by the node's own means where it has some, else by writing zeroes. The caller
/// has entered the node's tracker; where blocks are written in part it holds a lease.
/// </summary>
internal static class ZeroRequests
{
    // Never written to; what one emulated write passes at most, and not less than the greatest block (64 KiB).
    private static readonly ReadOnlyMemory<byte> Zeroes = MakeZeroes();

    /// <summary>A write of this data can as well be a request for zeroes.</summary>
    public static bool AreZeroes(ReadOnlySpan<byte> data, WriteFlags flags) =>
        (flags & WriteFlags.Compressed) == 0 && !data.IsEmpty && !data.ContainsAnyExcept((byte)0);

    /// <summary>The flag that lets the space go, where the node wants that of zeroes that it finds in writes.</summary>
    public static WriteFlags UnmapFlag(BlockNode node) =>
        node.ZeroDetection == ZeroDetection.Unmap ? WriteFlags.MayUnmap : WriteFlags.None;

    /// <summary>Zeroes the range, which lies in the node and is not empty.</summary>
    public static async ValueTask WriteZeroesAsync(BlockNode node, long offset, long length, WriteFlags flags)
    {
        var block = node.Limits.RequestAlignment;
        var nodeLength = node.Length;
        var end = offset + length;
        var firstWhole = Math.Min(Alignment.Up(offset, block), end);
        var blocksEnd = end >= nodeLength ? end : Math.Max(Alignment.Down(end, block), firstWhole);
        if ((flags & WriteFlags.NoFallback) != 0 && (firstWhole != offset || blocksEnd != end))
        {
            throw NoFallback(node, offset);
        }

        try
        {
            // FUA of all of it is one flush at the end.
            var plain = flags & ~WriteFlags.Fua;
            if (firstWhole > offset)
            {
                await WriteDataAsync(node, offset, firstWhole, plain).ConfigureAwait(false);
            }

            if (blocksEnd > firstWhole)
            {
                await ZeroBlocksAsync(node, firstWhole, blocksEnd, plain).ConfigureAwait(false);
            }

            if (end > blocksEnd)
            {
                await WriteDataAsync(node, blocksEnd, end, plain).ConfigureAwait(false);
            }
        }
        finally
        {
            node.MarkChanged(offset, length);
        }

        if ((flags & WriteFlags.Fua) != 0)
        {
            await node.Flushes.FlushAsync().ConfigureAwait(false);
        }
    }

    private static async ValueTask ZeroBlocksAsync(BlockNode node, long start, long end, WriteFlags flags)
    {
        var limits = node.Limits;
        var unit = Math.Max(limits.WriteZeroesAlignment, limits.RequestAlignment);
        unit = unit <= limits.MaxWriteZeroes ? unit : limits.RequestAlignment; // the one is a wish, the other a limit
        var max = Math.Max(unit, Alignment.Down(limits.MaxWriteZeroes, unit));
        var nodeLength = node.Length;
        node.OnDebugEvent(BlkdebugEvent.PwritevZero);
        for (var at = start; at < end;)
        {
            // A short piece up to the first whole unit, then whole units, then the rest.
            var toUnit = Alignment.Up(at, unit) - at;
            var stop = toUnit != 0 ? Math.Min(end, at + toUnit) : end >= nodeLength ? end : Alignment.Down(end, unit);
            stop = stop <= at ? end : stop;
            stop = Math.Min(stop, at + Math.Min(max, long.MaxValue - at));
            if (!await node.TryWriteZeroesAsync(at, stop - at, flags).ConfigureAwait(false))
            {
                if ((flags & WriteFlags.NoFallback) != 0)
                {
                    throw NoFallback(node, at);
                }

                await WriteBlocksAsync(node, at, stop, flags).ConfigureAwait(false);
            }

            at = stop;
        }

        node.OnDebugEvent(BlkdebugEvent.PwritevDone);
    }

    /// <summary>Zeroes a part of a block, by reading the rest of it.</summary>
    private static ValueTask WriteDataAsync(BlockNode node, long start, long end, WriteFlags flags) =>
        AlignedWrites.WriteAsync(node, start, Zeroes[..(int)(end - start)], flags & WriteFlags.Unchanged);

    /// <summary>Writes whole blocks of zeroes.</summary>
    private static async ValueTask WriteBlocksAsync(BlockNode node, long start, long end, WriteFlags flags)
    {
        var max = Math.Min(Zeroes.Length, Alignment.MaxTransfer(node.Limits));
        for (var at = start; at < end;)
        {
            var n = (int)Math.Min(max, end - at);
            await node.WriteAsync(at, Zeroes[..n], flags & WriteFlags.Unchanged).ConfigureAwait(false);
            at += n;
        }
    }

    private static Memory<byte> MakeZeroes()
    {
        var memory = BufferPool.Rent(256 << 10).Memory; // kept as long as the process lives
        memory.Span.Clear();
        return memory;
    }

    private static BlockException NoFallback(BlockNode node, long offset) =>
        new(ErrorCode.NotSupported, "Zeroes cannot be written without writing data.", node.Name, offset);
}
