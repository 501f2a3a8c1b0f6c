using Byre.Formats.Raw;
using Byre.Graph;
using Byre.Nbd.Client;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>Walks a chain and says what is where, joined as far as it continues. One caller at a time.</summary>
internal sealed class StatusReader
{
    private const int Batch = 512;
    private const int Sector = 512;

    private readonly BackingChain chain;
    private readonly ExtentList extents = new();
    private readonly ExtentPrecision precision;
    private int index;

    /// <summary>Takes a chain.</summary>
    /// <param name="chain">The chain; nobody else asks it meanwhile.</param>
    /// <param name="precision">How hard its layers look.</param>
    public StatusReader(BackingChain chain, ExtentPrecision precision)
    {
        this.chain = chain;
        this.precision = precision;
    }

    /// <summary>The chain's length in bytes, with what fills up the last sector, as QEMU's tools count.</summary>
    public long Length => (chain.Length + Sector - 1) & -Sector;

    /// <summary>
    /// The longest range with one answer that begins at <paramref name="start"/>. Ask in ascending order: what was learned on
    /// the way is used for the next question.
    /// </summary>
    /// <param name="start">First byte, inside of the image.</param>
    /// <param name="end">Where to stop, at most <see cref="Length"/>.</param>
    public async ValueTask<BlockStatus> AtAsync(long start, long end)
    {
        var first = await OneAsync(start, end).ConfigureAwait(false);
        while (first.End < end)
        {
            var next = await OneAsync(first.End, end).ConfigureAwait(false);
            if (!next.Continues(first))
            {
                break;
            }

            first = first with { Length = first.Length + next.Length };
        }

        return first;
    }

    private async ValueTask<BlockStatus> OneAsync(long at, long end)
    {
        if (at >= chain.Length)
        {
            return Padding(at, end);
        }

        end = Math.Min(end, chain.Length);
        while (index < extents.Count && extents.Items[index].End <= at)
        {
            index++;
        }

        if (extents.Count == 0 || index == extents.Count || extents.Items[index].Start > at)
        {
            extents.Reset(at, end - at, Batch);
            index = 0;
            await chain.GetExtentsAsync(extents, precision).ConfigureAwait(false);
            if (extents.Count == 0)
            {
                throw new BlockException(ErrorCode.Io, $"Nothing is known of the range at {at}", offset: at);
            }
        }

        var extent = extents.Items[index];
        return Of(WithinServer(extent.Slice(at, Math.Min(extent.End, end))));
    }

    /// <summary>What fills up a disk's last sector is not the server's: it ends there, or lies nowhere.</summary>
    private static BlockExtent WithinServer(in BlockExtent extent)
    {
        if (extent.HostNode is not NbdNode server || extent.HostOffset < 0 || extent.HostOffset + extent.Length <= server.Length)
        {
            return extent;
        }

        return extent.HostOffset < server.Length
            ? extent.Slice(extent.Start, extent.Start + (server.Length - extent.HostOffset))
            : extent with { HostNode = null, HostOffset = -1 };
    }

    /// <summary>What fills up the last sector of something without a format.</summary>
    private BlockStatus Padding(long at, long end)
    {
        var layer = chain.Layers[0].Node;
        return ServerHoles.AreIn(layer)
            ? new(at, end - at, 0, true, true, false, false, -1, null)
            : new(at, end - at, 0, true, true, false, false, at, layer);
    }

    private BlockStatus Of(in BlockExtent e)
    {
        var offset = (e.Flags & (ExtentFlags.Compressed | ExtentFlags.Encrypted)) != 0 ? -1 : e.HostOffset;
        var file = offset < 0 ? null : e.HostNode;
        var compressed = (e.Flags & ExtentFlags.Compressed) != 0;
        if (e.State != ExtentState.Absent && ServerHoles.AreIn(chain.Layers[Math.Max(0, e.Depth - 1)].Node))
        {
            // A server tells apart what reads as zeroes and what occupies no space; what is only the latter is not there at all.
            var isZero = e.State == ExtentState.Zero;
            return !ServerHoles.IsOne(e)
                ? new(e.Start, e.Length, Math.Max(0, e.Depth - 1), true, isZero, !e.IsHole, compressed, offset, file)
                : new(e.Start, e.Length, Math.Max(0, e.Depth - 1), false, false, false, false, -1, null);
        }

        switch (e.State)
        {
            case ExtentState.Data:
                return new(e.Start, e.Length, e.Depth - 1, true, false, true, compressed, offset, file);
            case ExtentState.Zero:
                // A cluster that the tables call data, while the file below has a hole there.
                var data = offset >= 0 && (e.Flags & ExtentFlags.Reserved) == 0
                    && BackingChain.SkipFilters(chain.Layers[Math.Max(0, e.Depth - 1)].Node) is not (RawNode or FileNode or NullNode);
                return new(e.Start, e.Length, Math.Max(0, e.Depth - 1), true, true, data, compressed, offset, file);
            default:
                var depth = chain.DeepestAskedAt(e.Start, out var end);
                return new(e.Start, Math.Min(e.End, end) - e.Start, depth - 1, false, true, false, false, offset, file);
        }
    }
}
