using Byre.Nodes;

namespace Byre.Formats.Raw;

/// <summary>
/// The raw format: the disk is the file, or a window of it. Its length is rounded up to 512 bytes, as QEMU's is; what
/// lies past the file's end reads as zeroes.
/// </summary>
public sealed class RawNode : BlockNode, ICopyRangeTarget, IGivenOptions
{
    private const int Sector = 512;

    private readonly BlockEdge file;
    private readonly BlockEdge[] children;
    private readonly RawOptions options;
    private readonly bool hasWindow;

    private RawNode(BlockEdge file, RawOptions options)
    {
        this.file = file;
        this.options = options;
        children = [file];
        hasWindow = options.Offset != 0 || options.Size is not null;
        file.Parent = this;
    }

    /// <inheritdoc/>
    public override string DriverName => "raw";

    /// <summary>What part of the file is the disk.</summary>
    public RawOptions Options => options;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> GivenOptions => options.Given;

    /// <inheritdoc/>
    public override long Length => options.Size ?? (Math.Max(0, file.Length - options.Offset) + Sector - 1 & -Sector);

    /// <inheritdoc/>
    public override bool IsReadOnly => file.Node.IsReadOnly;

    /// <inheritdoc/>
    public override bool GrowsOnWrite => !hasWindow && file.Node.GrowsOnWrite;

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags => WriteFlags.Fua | WriteFlags.Unchanged;

    /// <inheritdoc/>
    public override IReadOnlyList<BlockEdge> Children => children;

    /// <summary>Opens the disk in a file. The edge belongs to the node from then on.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: the size is no multiple of 512, or the disk reaches past the file.</exception>
    public static RawNode Open(BlockEdge file, RawOptions options)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(options);
        var name = file.Node.FileName;
        if (options.Offset < 0 || options.Size is < 0 || (options.Size ?? 0) % Sector != 0)
        {
            throw new BlockException(ErrorCode.Invalid, $"Could not open '{name}': the size of a raw disk is a multiple of 512, and no offset is below 0", name);
        }

        if (options.Offset > file.Length)
        {
            throw new BlockException(
                ErrorCode.Invalid,
                $"Could not open '{name}': the disk would begin at {options.Offset}, and the file has {file.Length} bytes",
                name);
        }

        return options.Size is { } size && size > file.Length - options.Offset
            ? throw new BlockException(
                ErrorCode.Invalid,
                $"Could not open '{name}': {size} bytes from {options.Offset} on reach beyond the file, which has {file.Length}",
                name)
            : new RawNode(file, options);
    }

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        file.DebugEvent(BlkdebugEvent.ReadAio);
        var at = options.Offset + offset;
        var there = file.Length - at;
        if (there >= buffer.Length)
        {
            return file.ReadAsync(at, buffer);
        }

        var n = (int)Math.Max(0, there);
        buffer.Span[n..].Clear();
        return n == 0 ? default : file.ReadAsync(at, buffer[..n]); // an offset past the file's end is not the file's
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        if ((flags & WriteFlags.Compressed) != 0)
        {
            throw new BlockException(ErrorCode.NotSupported, "A raw image stores nothing compressed.", Name, offset);
        }

        file.DebugEvent(BlkdebugEvent.WriteAio);
        return options.WasProbed && offset < Sector ? WriteGuardedAsync(offset, data, flags) : file.WriteAsync(options.Offset + offset, data, flags);
    }

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        await file.WriteZeroesAsync(options.Offset + offset, length, flags).ConfigureAwait(false);
        return true;
    }

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length)
    {
        var at = options.Offset + offset;
        var there = Math.Min(length, file.Length - at);
        return there <= 0 ? default : file.DiscardAsync(at, there);
    }

    /// <inheritdoc/>
    public override async ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        var below = new ExtentList();
        while (!extents.IsFull)
        {
            var start = options.Offset + extents.End;
            var end = Math.Min(options.Offset + extents.RangeEnd, file.Length);
            if (start >= end)
            {
                // Where the file would have it, had it whole sectors.
                extents.Add(new BlockExtent(extents.End, extents.RangeEnd - extents.End, ExtentState.Zero, ExtentFlags.Hole, start, file.Node, 1));
                break;
            }

            below.Reset(start, end - start, Math.Max(1, Math.Min(extents.Limit, 1024)));
            await file.GetExtentsAsync(below, precision).ConfigureAwait(false);
            Append(below, extents);
        }
    }

    /// <inheritdoc/>
    public override void OnDebugEvent(BlkdebugEvent debugEvent) => file.DebugEvent(debugEvent);

    /// <inheritdoc/>
    public override ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        if (hasWindow)
        {
            throw new BlockException(ErrorCode.NotSupported, "Cannot resize a raw image that has an offset or a fixed size", Name);
        }

        return file.ResizeAsync(length, preallocation);
    }

    /// <inheritdoc/>
    public ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode) =>
        options.WasProbed && offset < Sector ? new(0L) : file.CopyRangeAsync(options.Offset + offset, source, sourceOffset, length, mode);

    /// <inheritdoc/>
    public bool MayShareBlocks(BlockNode source) => file.Node is ICopyRangeTarget target && target.MayShareBlocks(source);

    private void Append(ExtentList below, ExtentList extents)
    {
        foreach (var extent in below.Items)
        {
            extents.Add(extent with { Start = extent.Start - options.Offset });
        }
    }

    private async ValueTask WriteGuardedAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        var first = new byte[Sector];
        if (file.Length > options.Offset)
        {
            await file.ReadAsync(options.Offset, first.AsMemory(0, (int)Math.Min(Sector, file.Length - options.Offset))).ConfigureAwait(false);
        }

        data.Span[..(int)Math.Min(data.Length, Sector - offset)].CopyTo(first.AsSpan((int)offset));
        if (FormatMagic.LooksFormatted(first))
        {
            throw new BlockException(
                ErrorCode.NotPermitted,
                $"Writing to the first sector of '{file.Node.FileName}' is refused: its format was guessed as raw, and the data would make it look like another one (name the format to allow it)",
                Name,
                offset);
        }

        await file.WriteAsync(options.Offset + offset, data, flags).ConfigureAwait(false);
    }
}
