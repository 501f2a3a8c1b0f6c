using Byre.Nodes;

namespace Byre.Storage;

/// <summary>
/// A disk that is written once, from front to back, and never read: a pipe, or a digest. A write anywhere but at the end is
/// refused, so its writer does one request at a time; zeroes are passed on as bytes.
/// </summary>
/// <param name="name">What messages call it.</param>
/// <param name="output">Takes the bytes; it stays its owner's.</param>
public sealed class SequentialNode(string name, ISequentialOutput output) : BlockNode
{
    private const int ZeroBytes = 256 << 10;

    private byte[]? zeroes;
    private long length;

    /// <inheritdoc/>
    public override string DriverName => "sequential";

    /// <inheritdoc/>
    public override string FileName => name;

    /// <summary>Bytes written so far.</summary>
    public override long Length => Volatile.Read(ref length);

    /// <inheritdoc/>
    public override bool GrowsOnWrite => true;

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) =>
        throw new BlockException(ErrorCode.NotSupported, $"'{name}' can only be written", name, offset);

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        CheckOffset(offset);
        output.Write(data.Span);
        Volatile.Write(ref length, offset + data.Length);
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        CheckOffset(offset);
        var block = zeroes ??= new byte[ZeroBytes];
        for (var left = length; left > 0;)
        {
            var n = (int)Math.Min(left, ZeroBytes);
            output.Write(block.AsSpan(0, n));
            left -= n;
            Volatile.Write(ref this.length, offset + length - left);
        }

        return new(true);
    }

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        extents.Add(new BlockExtent(extents.Offset, extents.Length, ExtentState.Data, ExtentFlags.None, -1, null, 1));
        return default;
    }

    private void CheckOffset(long offset)
    {
        if (offset != Length)
        {
            throw new BlockException(
                ErrorCode.NotSupported, $"'{name}' is written from front to back: it is at byte {Length}, not {offset}", name, offset);
        }
    }
}
