using Byre.Nodes;

namespace Byre.Tests.Jobs;

/// <summary>A disk in memory that the test dictates: its extents, its failures, its backing; it notes what is done to it.</summary>
internal sealed class CopyNode(byte[] content) : BlockNode, IBackedNode
{
    private readonly Lock gate = new();

    public byte[] Bytes { get; } = content;

    /// <summary>What it says of itself; all data where empty.</summary>
    public List<BlockExtent> Extents { get; } = [];

    public BlockEdge? BackingEdge { get; init; }

    public HashSet<long> BadSectors { get; } = [];

    public bool FailsWrites { get; set; }

    public BlockLimits OwnLimits { get; init; } = BlockLimits.Default;

    public List<(long Start, long Length)> Reads { get; } = [];

    public List<(long Start, long Length, WriteFlags Flags)> Writes { get; } = [];

    public List<(long Start, long Length)> Zeroed { get; } = [];

    public List<WriteFlags> ZeroFlags { get; } = [];

    public Action? OnWrite { get; set; }

    public override string DriverName => "copy-test";

    public override long Length => Bytes.Length;

    public override BlockLimits Limits => OwnLimits;

    public override WriteFlags SupportedWriteFlags => WriteFlags.Fua | WriteFlags.Compressed;

    public BlockEdge? Backing => BackingEdge;

    public string? BackingFileName => null;

    public string? BackingFormat => null;

    public override IReadOnlyList<BlockEdge> Children => BackingEdge is null ? [] : [BackingEdge];

    public override ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        lock (gate)
        {
            Reads.Add((offset, buffer.Length));
        }

        for (var sector = offset / 512; sector * 512 < offset + buffer.Length; sector++)
        {
            if (BadSectors.Contains(sector))
            {
                throw new BlockException(ErrorCode.Io, "bad sector", Name, sector * 512);
            }
        }

        Bytes.AsSpan((int)offset, buffer.Length).CopyTo(buffer.Span);
        return default;
    }

    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        OnWrite?.Invoke();
        if (FailsWrites)
        {
            throw new BlockException(ErrorCode.NoSpace, "No space left on device", Name, offset);
        }

        lock (gate)
        {
            Writes.Add((offset, data.Length, flags));
        }

        data.Span.CopyTo(Bytes.AsSpan((int)offset));
        return default;
    }

    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        lock (gate)
        {
            Zeroed.Add((offset, length));
            ZeroFlags.Add(flags);
        }

        Bytes.AsSpan((int)offset, (int)length).Clear();
        return new(true);
    }

    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        if (Extents.Count == 0)
        {
            extents.Add(new BlockExtent(extents.Offset, extents.Length, ExtentState.Data, ExtentFlags.None, -1, null, 1));
        }

        foreach (var extent in Extents)
        {
            if (extent.End > extents.End && !extents.IsFull)
            {
                extents.Add(extent.Slice(Math.Max(extent.Start, extents.End), extent.End));
            }
        }

        return default;
    }

    /// <summary>Says of itself what its bytes are, in runs of blocks.</summary>
    public CopyNode DescribeZeroes(int block, ExtentState zero)
    {
        for (var at = 0; at < Bytes.Length; at += block)
        {
            var n = Math.Min(block, Bytes.Length - at);
            var state = Bytes.AsSpan(at, n).ContainsAnyExcept((byte)0) ? ExtentState.Data : zero;
            Extents.Add(new BlockExtent(at, n, state, ExtentFlags.None, -1, null, 1));
        }

        return this;
    }
}
