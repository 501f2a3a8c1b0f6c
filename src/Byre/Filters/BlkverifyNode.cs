using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// The blkverify driver: two images with the same content, one under test, one a raw copy. Writes go to both; reads are
/// compared (docs/devel/testing/blkverify.rst in QEMU).
/// </summary>
public sealed class BlkverifyNode : BlockNode
{
    private readonly BlockEdge test;
    private readonly BlockEdge raw;
    private readonly BlockEdge[] children;

    /// <summary>Makes the driver, which owns the edges from now on.</summary>
    /// <param name="test">The image under test; it gives the length.</param>
    /// <param name="raw">The copy that is taken to be right.</param>
    public BlkverifyNode(BlockEdge test, BlockEdge raw)
    {
        ArgumentNullException.ThrowIfNull(test);
        ArgumentNullException.ThrowIfNull(raw);
        this.test = test;
        this.raw = raw;
        children = [test, raw];
        raw.Parent = this;
        test.Parent = this;
    }

    /// <summary>
    /// Called when the images differ. The request then fails with <see cref="ErrorCode.Corrupt"/>; a tool may end the
    /// process here, as QEMU does.
    /// </summary>
    public Action<BlkverifyMismatch>? Mismatch { get; set; }

    /// <inheritdoc/>
    public override string DriverName => "blkverify";

    /// <inheritdoc/>
    public override long Length => test.Length;

    /// <inheritdoc/>
    public override bool IsReadOnly => test.Node.IsReadOnly || raw.Node.IsReadOnly;

    /// <inheritdoc/>
    public override BlockLimits Limits => new()
    {
        RequestAlignment = Math.Max(test.Node.Limits.RequestAlignment, raw.Node.Limits.RequestAlignment),
        MemoryAlignment = Math.Max(test.Node.Limits.MemoryAlignment, raw.Node.Limits.MemoryAlignment),
    };

    /// <inheritdoc/>
    public override IReadOnlyList<BlockEdge> Children => children;

    /// <inheritdoc/>
    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var copy = new byte[buffer.Length];
        await BothAsync("read", offset, buffer.Length, test.ReadAsync(offset, buffer), raw.ReadAsync(offset, copy)).ConfigureAwait(false);
        var same = buffer.Span.CommonPrefixLength(copy);
        if (same < copy.Length)
        {
            throw Report(new BlkverifyMismatch("read", offset, copy.Length, offset + same, 0, 0));
        }
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) =>
        BothAsync("write", offset, data.Length, test.WriteAsync(offset, data, flags), raw.WriteAsync(offset, data, flags));

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        extents.Add(new BlockExtent(extents.Offset, extents.Length, ExtentState.Data, ExtentFlags.None, extents.Offset, this, 1));
        return default;
    }

    private static async ValueTask<BlockException?> OutcomeAsync(ValueTask request)
    {
        try
        {
            await request.ConfigureAwait(false);
            return null;
        }
        catch (BlockException e)
        {
            return e;
        }
    }

    private async ValueTask BothAsync(string operation, long offset, long length, ValueTask onTest, ValueTask onRaw)
    {
        var testFailure = await OutcomeAsync(onTest).ConfigureAwait(false);
        var rawFailure = await OutcomeAsync(onRaw).ConfigureAwait(false);
        if ((testFailure?.Errno ?? 0) != (rawFailure?.Errno ?? 0))
        {
            throw Report(new BlkverifyMismatch(operation, offset, length, -1, testFailure?.Errno ?? 0, rawFailure?.Errno ?? 0));
        }

        if (testFailure is not null)
        {
            throw testFailure;
        }
    }

    private BlockException Report(BlkverifyMismatch mismatch)
    {
        Mismatch?.Invoke(mismatch);
        return new BlockException(ErrorCode.Corrupt, mismatch.ToString(), Name, mismatch.Offset);
    }
}
