using Byre.Nodes;
using Byre.Requests;
using Byre.Storage;

namespace Byre.Filters;

/// <summary>
/// Stores what is read: a range that the layer below is absent in is read through its backing chain and written to the layer,
/// so that the next read finds it there. What a reader sees never changes.
/// </summary>
/// <remarks>
/// The range is leased on the child while it is copied, in whole units of the child
/// (<see cref="BlockLimits.WriteZeroesAlignment"/>), so that no write of the guest gets between reading and storing. Units of
/// zeroes are stored as zeroes. A range that cannot be stored fails the read.
/// </remarks>
public sealed class CopyOnReadNode : FilterNode
{
    private const int LongestCopy = 1 << 20;
    private const int ExtentsAtOnce = 256;

    /// <summary>Makes the filter, which owns the edge from now on.</summary>
    /// <param name="image">The edge to the image; it needs <see cref="Permissions.WriteUnchanged"/> or <see cref="Permissions.Write"/>.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.ReadOnly"/>: the image cannot be written.</exception>
    public CopyOnReadNode(BlockEdge image)
        : base(CheckWritable(image))
    {
    }

    /// <inheritdoc/>
    public override string DriverName => "copy-on-read";

    /// <inheritdoc/>
    public override PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) =>
        parents with { Used = parents.Used | Permissions.ConsistentRead | Permissions.WriteUnchanged };

    /// <inheritdoc/>
    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        if (await IsPresentAsync(offset, buffer.Length).ConfigureAwait(false))
        {
            await Image.ReadAsync(offset, buffer).ConfigureAwait(false);
            return;
        }

        var unit = Unit;
        var end = Math.Min(Length, RoundUp(offset + buffer.Length, unit));
        for (var at = offset / unit * unit; at < end;)
        {
            // A lease a piece: the guest's writes wait for no more than one.
            var stop = Math.Min(end, at + Math.Max(LongestCopy / unit * unit, unit));
            var lease = await Image.LockRangeAsync(at, stop - at).ConfigureAwait(false);
            await using (lease.ConfigureAwait(false))
            {
                await ReadLeasedAsync(lease, at, stop, offset, buffer).ConfigureAwait(false);
            }

            at = stop;
        }
    }

    private static BlockEdge CheckWritable(BlockEdge image)
    {
        ArgumentNullException.ThrowIfNull(image);
        return image.Node.IsReadOnly
            ? throw new BlockException(ErrorCode.ReadOnly, "Copy-on-read needs an image that can be written", image.Node.Name)
            : image;
    }

    private static long RoundUp(long value, long unit) => (value + unit - 1) / unit * unit;

    private long Unit => Math.Max(1, Image.Node.Limits.WriteZeroesAlignment);

    private async ValueTask<bool> IsPresentAsync(long offset, long length)
    {
        var extents = new ExtentList();
        for (var at = offset; at < offset + length; at = extents.End)
        {
            extents.Reset(at, offset + length - at, ExtentsAtOnce);
            await Image.GetExtentsAsync(extents, ExtentPrecision.Layer).ConfigureAwait(false);
            foreach (var extent in extents.Items)
            {
                if (extent.State == ExtentState.Absent)
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>Reads [at, end), which is leased, stores what is absent of it, and hands over what the reader asked for.</summary>
    private async ValueTask ReadLeasedAsync(RangeLease lease, long at, long end, long offset, Memory<byte> buffer)
    {
        var extents = new ExtentList();
        while (at < end)
        {
            extents.Reset(at, end - at, 1);
            await Image.GetExtentsAsync(extents, ExtentPrecision.Layer).ConfigureAwait(false);
            var extent = extents.Items[0];
            var from = Math.Max(at, offset);
            var to = Math.Min(extent.End, offset + buffer.Length);
            if (extent.State == ExtentState.Absent)
            {
                using var copy = BufferPool.Rent((int)extent.Length);
                await lease.ReadAsync(at, copy.Memory).ConfigureAwait(false);
                await StoreAsync(lease, at, copy.Memory).ConfigureAwait(false);
                if (from < to)
                {
                    copy.Memory[(int)(from - at)..(int)(to - at)].CopyTo(buffer[(int)(from - offset)..]);
                }
            }
            else if (from < to)
            {
                await lease.ReadAsync(from, buffer[(int)(from - offset)..(int)(to - offset)]).ConfigureAwait(false);
            }

            at = extent.End;
        }
    }

    /// <summary>Writes runs of units: those of zeroes as zeroes, the others as data.</summary>
    private async ValueTask StoreAsync(RangeLease lease, long offset, ReadOnlyMemory<byte> data)
    {
        var unit = Unit;
        for (var at = 0; at < data.Length;)
        {
            var end = EndOfUnit(at);
            var isZero = IsZero(at, end);
            while (end < data.Length && EndOfUnit(end) is var next && IsZero(end, next) == isZero)
            {
                end = next;
            }

            if (isZero)
            {
                await lease.WriteZeroesAsync(offset + at, end - at, WriteFlags.Unchanged).ConfigureAwait(false);
            }
            else
            {
                await lease.WriteAsync(offset + at, data[at..end], WriteFlags.Unchanged).ConfigureAwait(false);
            }

            at = end;
        }

        int EndOfUnit(int from) => (int)Math.Min(data.Length, ((offset + from) / unit * unit) + unit - offset);

        bool IsZero(int from, int to) => !data.Span[from..to].ContainsAnyExcept((byte)0);
    }
}
