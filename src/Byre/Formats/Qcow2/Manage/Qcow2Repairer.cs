using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Repairs what a scan found. Counts are raised first, then COPIED flags change, then counts are lowered, with a flush
/// between: at no instant is a cluster in use counted as free that was not before. Where structures overlap nothing is written.
/// </summary>
internal sealed class Qcow2Repairer
{
    private const string LostUsers = "Snapshots or bitmaps cannot be read: clusters that may hold their data are not given back.";

    private readonly BlockEdge file;
    private readonly HeaderStore headers;
    private readonly bool hasExternalData;
    private readonly IProgress<double>? progress;

    private Qcow2Repairer(BlockEdge file, HeaderStore headers, bool hasExternalData, IProgress<double>? progress)
    {
        this.file = file;
        this.headers = headers;
        this.hasExternalData = hasExternalData;
        this.progress = progress;
    }

    /// <summary>The header as it is in the file now.</summary>
    public Qcow2Header Header => headers.Header;

    /// <summary>Something was written.</summary>
    public bool HasWritten { get; private set; }

    /// <summary>Makes a repairer.</summary>
    /// <exception cref="BlockException">The header cannot be read.</exception>
    public static async ValueTask<Qcow2Repairer> CreateAsync(
        BlockEdge file, Qcow2Header header, bool hasExternalData, IProgress<double>? progress) =>
        new(file, await HeaderStore.OpenAsync(file, header, writable: true).ConfigureAwait(false), hasExternalData, progress);

    /// <summary>Repairs.</summary>
    /// <returns>Null, or one line on why the repair could not be brought to its end.</returns>
    /// <exception cref="BlockException">A table cannot be read or written.</exception>
    /// <param name="scan">What was found.</param>
    /// <param name="mode">What is repaired.</param>
    /// <param name="mayDrop">Snapshots and bitmaps that nothing can read may be dropped; otherwise nothing is repaired where there are any.</param>
    public async ValueTask<string?> RepairAsync(ImageScan scan, RepairMode mode, bool mayDrop)
    {
        if (!mayDrop && (scan.HasLostUsers || scan.Bitmaps.MustRewrite))
        {
            return "Snapshots or bitmaps cannot be read: only a repair that is asked for drops them.";
        }

        if (mode == RepairMode.Leaks)
        {
            return await RepairLeaksAsync(scan).ConfigureAwait(false);
        }

        if (scan.Findings.Corruptions + scan.Findings.Leaks + scan.Findings.CheckErrors == 0)
        {
            return null;
        }

        // Entries that stand for no data go first: they only take references away.
        if (await ZeroBadEntriesAsync(scan).ConfigureAwait(false))
        {
            await FlushAsync().ConfigureAwait(false);
            scan = await ScanAsync().ConfigureAwait(false);
        }

        if (scan.HasFalseZeroClaim || scan.Snapshots.HasStrayPlace)
        {
            HasWritten = true;
            await headers.UpdateAsync(h => h with
            {
                Autoclear = scan.HasFalseZeroClaim ? h.Autoclear & ~AutoclearFeatures.AllZero : h.Autoclear,
                SnapshotsOffset = scan.Snapshots.HasStrayPlace ? 0 : h.SnapshotsOffset,
            }).ConfigureAwait(false);
        }

        // Then tables that are damaged: what they name is known once they are written anew.
        var tables = await NewTables.OfAsync(scan).ConfigureAwait(false);
        string? left = null;
        if (!tables.IsEmpty)
        {
            left = await RebuildAsync(tables).ConfigureAwait(false);
            scan = await ScanAsync().ConfigureAwait(false);
        }

        if (!scan.Kinds.IsOnly(MetadataKind.Header, 0, 1))
        {
            return "Something overlaps the image's header: no more is repaired.";
        }

        if (scan.MustRebuild || !CanRaise(scan))
        {
            left ??= await RebuildAsync(await NewTables.OfAsync(scan).ConfigureAwait(false)).ConfigureAwait(false);
            if (left is not null)
            {
                return left;
            }
        }
        else
        {
            await WriteCountsAsync(scan, Math.Max).ConfigureAwait(false);
            await FlushAsync().ConfigureAwait(false);
        }

        scan = await ScanAsync().ConfigureAwait(false);
        if (await ZeroBadEntriesAsync(scan).ConfigureAwait(false))
        {
            // In tables that something overlapped until now.
            await FlushAsync().ConfigureAwait(false);
            scan = await ScanAsync().ConfigureAwait(false);
        }

        var keepsCounts = left is not null || scan.HasLostUsers;
        await FixCopiedAsync(scan, keepsCounts).ConfigureAwait(false);
        await FlushAsync().ConfigureAwait(false);
        if (keepsCounts)
        {
            return left ?? LostUsers;
        }

        await WriteCountsAsync(scan, Math.Min).ConfigureAwait(false);
        await FlushAsync().ConfigureAwait(false);
        return null;
    }

    private async ValueTask<string?> RebuildAsync(NewTables tables)
    {
        try
        {
            await RefcountRebuild.RunAsync(file, headers, hasExternalData, tables).ConfigureAwait(false);
            HasWritten = true;
            return null;
        }
        catch (BlockException e) when (e.Code is ErrorCode.Corrupt or ErrorCode.TooLarge or ErrorCode.Invalid)
        {
            return e.Message;
        }
    }

    /// <summary>Clears the dirty and the corrupt bit.</summary>
    public async ValueTask MarkCleanAsync()
    {
        var clean = Header.Incompatible & ~(IncompatibleFeatures.Dirty | IncompatibleFeatures.Corrupt);
        if (clean != Header.Incompatible)
        {
            await FlushAsync().ConfigureAwait(false);
            await headers.UpdateAsync(h => h with { Incompatible = clean }).ConfigureAwait(false);
        }
    }

    private async ValueTask<string?> RepairLeaksAsync(ImageScan scan)
    {
        if (scan.MustRebuild || scan.HasFreeInUse)
        {
            return "The refcounts of clusters in use are missing: only a repair of all errors puts that right.";
        }

        if (scan.HasLostUsers)
        {
            return LostUsers;
        }

        // A count that becomes 1 wants a COPIED flag, which is set only where nothing else is wrong.
        await WriteCountsAsync(scan, static (stored, references) => references == 1 ? stored : Math.Min(stored, references)).ConfigureAwait(false);
        await FlushAsync().ConfigureAwait(false);
        if (scan.Findings.CheckErrors == 0 && scan.Findings.Corruptions == scan.Findings.WrongCopied)
        {
            await WriteCountsAsync(scan, Math.Min).ConfigureAwait(false);
            await FlushAsync().ConfigureAwait(false);
            scan = await ScanAsync().ConfigureAwait(false);
            await FixCopiedAsync(scan, keepsCounts: false).ConfigureAwait(false);
            await FlushAsync().ConfigureAwait(false);
        }

        return null;
    }

    /// <summary>Every block whose counts must be raised is one that may be written.</summary>
    private static bool CanRaise(ImageScan scan)
    {
        foreach (var (first, count) in RefcountComparison.Segments(scan))
        {
            if (IsWritable(scan, first) || scan.Stored.Span(first, count).SequenceEqual(RefcountComparison.References(scan, first, count)))
            {
                continue;
            }

            for (var cluster = first; cluster < first + count; cluster++)
            {
                if (!scan.Stored.TryGet(cluster, out var stored) || stored < (ulong)scan.Counts[cluster])
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>The block that counts a cluster is there, and nothing else is where it is.</summary>
    private static bool IsWritable(ImageScan scan, long cluster)
    {
        var index = cluster >> scan.Stored.BlockBits;
        if (!scan.Stored.HasBlock(index) || scan.Stored.IsUnreadable((int)index) || new RefcountTableEntry(scan.Stored.Table[index]).HasReservedBits)
        {
            return false;
        }

        var block = (long)(scan.Stored.Table[index] >> scan.Header.ClusterBits);
        return block < scan.Clusters && scan.Kinds[block] == MetadataKind.RefcountBlock && scan.Counts[block] == 1;
    }

    /// <summary>Changes stored counts, in the blocks that may be written.</summary>
    private async ValueTask WriteCountsAsync(ImageScan scan, Func<ulong, ulong, ulong> choose)
    {
        var raw = new byte[Header.ClusterSize];
        var loaded = -1L;
        var dirty = false;
        foreach (var (first, count) in RefcountComparison.Segments(scan))
        {
            if (!IsWritable(scan, first))
            {
                continue;
            }

            var index = first >> scan.Stored.BlockBits;
            for (var cluster = first; cluster < first + count; cluster++)
            {
                _ = scan.Stored.TryGet(cluster, out var stored);
                var value = choose(stored, (ulong)scan.Counts[cluster]);
                if (value == stored)
                {
                    continue;
                }

                if (loaded != index)
                {
                    await StoreAsync(scan, loaded, raw, dirty).ConfigureAwait(false);
                    loaded = index;
                    await scan.Reader.ReadAsync((long)scan.Stored.Table[index], raw).ConfigureAwait(false);
                }

                RefcountWidth.Set(raw, Header.RefcountOrder, (int)(cluster & (scan.Stored.BlockEntries - 1)), value);
                dirty = true;
            }
        }

        await StoreAsync(scan, loaded, raw, dirty).ConfigureAwait(false);
    }

    private ValueTask StoreAsync(ImageScan scan, long index, byte[] raw, bool dirty) =>
        index >= 0 && dirty ? WriteAsync((long)scan.Stored.Table[index], raw) : default;

    private async ValueTask<bool> ZeroBadEntriesAsync(ImageScan scan)
    {
        var changed = false;
        var table = new byte[Header.ClusterSize];
        foreach (var (offset, _, _) in scan.Tables.AlignedTables())
        {
            if (!scan.Kinds.IsOnly(MetadataKind.L2Table, offset >> Header.ClusterBits, 1))
            {
                continue;
            }

            await scan.Reader.ReadAsync(offset, table).ConfigureAwait(false);
            if (ZeroBadEntries(table))
            {
                await WriteAsync(offset, table).ConfigureAwait(false);
                changed = true;
            }
        }

        return changed;
    }

    private bool ZeroBadEntries(byte[] table)
    {
        var changed = false;
        for (var at = 0; at < table.Length; at += Header.L2EntrySize)
        {
            var entry = table.AsSpan(at, Header.L2EntrySize);
            var raw = BinaryPrimitives.ReadUInt64BigEndian(entry);
            var bitmap = Header.HasSubclusters ? BinaryPrimitives.ReadUInt64BigEndian(entry[8..]) : 0;
            if (raw + bitmap != 0 && L2Scan.MustBeZeroed(Header, raw, bitmap))
            {
                BinaryPrimitives.WriteUInt64BigEndian(entry, Header.HasSubclusters ? 0ul : 1ul);
                if (Header.HasSubclusters)
                {
                    BinaryPrimitives.WriteUInt64BigEndian(entry[8..], L2Entry.AllZeroes);
                }

                changed = true;
            }
        }

        return changed;
    }

    private ValueTask FixCopiedAsync(ImageScan scan, bool keepsCounts) =>
        new CopiedRepair(scan, hasExternalData, keepsCounts, WriteAsync).RunAsync();

    private async ValueTask<ImageScan> ScanAsync()
    {
        var scan = await ImageScan.RunAsync(file, Header, hasExternalData, countRefcounts: true, progress).ConfigureAwait(false);
        scan.Compare();
        return scan;
    }

    private ValueTask WriteAsync(long offset, byte[] bytes)
    {
        HasWritten = true;
        return file.WriteAsync(offset, bytes);
    }

    private ValueTask FlushAsync() => file.FlushAsync();
}
