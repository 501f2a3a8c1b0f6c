using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// The reference counts that an image stores, read once. Blocks beyond the file's clusters are not read; blocks that the
/// table names twice, and those full of ones, are kept once.
/// </summary>
internal sealed class StoredRefcounts
{
    private const byte Large = 255;

    private readonly int order;
    private readonly int blockBits;
    private readonly Block?[] blocks;
    private readonly Block unreadable = new([], null);

    private StoredRefcounts(ulong[] table, int order, int blockBits, int used)
    {
        Table = table;
        this.order = order;
        this.blockBits = blockBits;
        blocks = new Block?[used];
    }

    /// <summary>The refcount table's entries, as they are in the file.</summary>
    public ulong[] Table { get; }

    /// <summary>Clusters that a block counts.</summary>
    public int BlockEntries => 1 << blockBits;

    /// <summary>Clusters that a block counts, as a power of two.</summary>
    public int BlockBits => blockBits;

    /// <summary>Reads the table and the blocks.</summary>
    public static async ValueTask<StoredRefcounts> ReadAsync(TableReader reader, Qcow2Header header)
    {
        var blockBits = header.ClusterBits + 3 - header.RefcountOrder;
        var clusters = ImageScan.ClustersIn(reader.FileLength, header.ClusterBits) + 1;
        var entries = header.HasPossibleRefcountTable ? (int)(header.RefcountTableClusters << (header.ClusterBits - 3)) : 0;
        var bytes = new byte[entries * 8];
        await reader.ReadAsync(header.RefcountTableOffset, bytes).ConfigureAwait(false);
        var table = new ulong[entries];
        BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, ulong>(bytes), table);
        var used = (int)Math.Min(entries, ((clusters - 1) >> blockBits) + 1);
        var stored = new StoredRefcounts(table, header.RefcountOrder, blockBits, used);
        await stored.ReadBlocksAsync(reader, header).ConfigureAwait(false);
        return stored;
    }

    /// <summary>The block's counts cannot be read: its place is no place of a cluster.</summary>
    public bool IsUnreadable(int block) => block < blocks.Length && ReferenceEquals(blocks[block], unreadable);

    /// <summary>There is a block.</summary>
    public bool HasBlock(long index) => index < blocks.Length && blocks[index] is not null;

    /// <summary>The count of a cluster.</summary>
    /// <returns>False where it cannot be read.</returns>
    public bool TryGet(long cluster, out ulong value)
    {
        var index = cluster >> blockBits;
        value = 0;
        if (index >= blocks.Length || blocks[index] is not { } block)
        {
            return true;
        }

        if (ReferenceEquals(block, unreadable))
        {
            return false;
        }

        var within = (int)(cluster & (BlockEntries - 1));
        value = block.Values[within];
        if (value == Large)
        {
            value = RefcountWidth.Get(block.Raw, order, within);
        }

        return true;
    }

    /// <summary>
    /// The counts from a cluster on, at most to the end of its block; 255 stands for 255 and more. Empty where all are 0 or
    /// unreadable.
    /// </summary>
    public ReadOnlySpan<byte> Span(long first, int count)
    {
        var index = first >> blockBits;
        var values = index < blocks.Length ? blocks[index]?.Values : null;
        return values is null || values.Length == 0 ? default : values.AsSpan((int)(first & (BlockEntries - 1)), count);
    }

    /// <summary>How many of the clusters' counts are known, and how many of these are 1.</summary>
    public (long Known, long Ones) CountOnes(long first, long count)
    {
        long known = 0, ones = 0;
        while (count > 0)
        {
            var n = (int)Math.Min(count, BlockEntries - (first & (BlockEntries - 1)));
            if (!IsUnreadable((int)Math.Min(first >> blockBits, int.MaxValue)))
            {
                known += n;
                var span = Span(first, n);
                ones += span.IsEmpty ? 0 : span.ContainsAnyExcept((byte)1) ? MemoryExtensions.Count(span, (byte)1) : n;
            }

            first += n;
            count -= n;
        }

        return (known, ones);
    }

    private async ValueTask ReadBlocksAsync(TableReader reader, Qcow2Header header)
    {
        var raw = new byte[header.ClusterSize];
        var ones = new byte[BlockEntries];
        ones.AsSpan().Fill(1);
        var allOnes = new Block(ones, null);
        Dictionary<ulong, Block> byOffset = [];
        for (var i = 0; i < blocks.Length; i++)
        {
            var offset = Table[i] & ~0x1fful;
            if (offset == 0)
            {
                continue;
            }

            if ((offset & (ulong)(header.ClusterSize - 1)) != 0 || offset > long.MaxValue - (1L << 32))
            {
                blocks[i] = unreadable;
                continue;
            }

            if (!byOffset.TryGetValue(offset, out var block))
            {
                await reader.ReadAsync((long)offset, raw).ConfigureAwait(false);
                block = Decode(raw, allOnes);
                byOffset.Add(offset, block);
            }

            blocks[i] = block;
        }
    }

    private Block Decode(byte[] raw, Block allOnes)
    {
        if (order == 4)
        {
            var words = MemoryMarshal.Cast<byte, ushort>(raw.AsSpan());
            var one = BinaryPrimitives.ReverseEndianness((ushort)1);
            if (!words.ContainsAnyExcept(one))
            {
                return allOnes;
            }
        }

        var values = new byte[BlockEntries];
        var large = false;
        if (raw.AsSpan().ContainsAnyExcept((byte)0))
        {
            for (var i = 0; i < values.Length; i++)
            {
                var value = RefcountWidth.Get(raw, order, i);
                values[i] = (byte)Math.Min(value, Large);
                large |= value >= Large;
            }
        }

        return new Block(values, large ? raw.ToArray() : null);
    }

    private sealed record Block(byte[] Values, byte[]? Raw);
}
