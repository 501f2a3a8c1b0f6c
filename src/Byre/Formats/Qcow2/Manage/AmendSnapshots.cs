using System.Buffers.Binary;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>What a change of the format's version means for internal snapshots (qcow2 specification, "Snapshots").</summary>
internal sealed class AmendSnapshots(BlockEdge file, HeaderStore headers, ClusterAllocator allocator)
{
    private string Name => file.Node.FileName;

    /// <summary>
    /// Writes the table anew, with the fields that version 3 must have, to clusters that nothing names yet; on stable storage
    /// when it completes.
    /// </summary>
    /// <returns>Where it is, or null where there are no snapshots.</returns>
    public async ValueTask<HostRun?> WriteExtendedAsync()
    {
        var header = headers.Header;
        if (header.SnapshotCount == 0)
        {
            return null;
        }

        var entries = (await SnapshotTable.ReadAsync(file, header).ConfigureAwait(false)).Entries;
        var table = SnapshotTable.Encode(entries, header.Size, Name);
        var run = await allocator.AllocateAllAsync((table.Length + header.ClusterSize - 1) >> header.ClusterBits).ConfigureAwait(false);
        Array.Resize(ref table, run.Count << header.ClusterBits);
        await file.WriteAsync(run.Offset.Value, table).ConfigureAwait(false);
        return run;
    }

    /// <summary>The clusters of the table as it is now.</summary>
    public async ValueTask<FreedRange?> CurrentAsync()
    {
        var header = headers.Header;
        if (header.SnapshotCount == 0)
        {
            return null;
        }

        var length = (await SnapshotTable.ReadAsync(file, header).ConfigureAwait(false)).Bytes;
        return new FreedRange(new HostOffset(header.SnapshotsOffset), (length + header.ClusterSize - 1) >> header.ClusterBits, false);
    }

    /// <summary>Throws where a snapshot cannot be in an image of version 2.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: there is such a snapshot.</exception>
    public async ValueTask CheckDowngradeAsync()
    {
        var header = headers.Header;
        foreach (var entry in (await SnapshotTable.ReadAsync(file, header).ConfigureAwait(false)).Entries)
        {
            if ((entry.DiskSize is { } size && size != (ulong)header.Size) || entry.VmStateSize > uint.MaxValue)
            {
                throw Unfit($"the snapshot '{entry.Name}' has a disk or VM state of a length that version 2 cannot say");
            }

            if (await HasZeroesAsync(entry, header).ConfigureAwait(false))
            {
                throw Unfit($"the snapshot '{entry.Name}' has zero clusters, which version 2 does not know");
            }
        }
    }

    private async ValueTask<bool> HasZeroesAsync(SnapshotEntry entry, Qcow2Header header)
    {
        if (entry.L1Entries > Qcow2Limits.MaxL1Bytes / 8)
        {
            throw new BlockException(ErrorCode.Corrupt, $"The L1 table of the snapshot '{entry.Name}' in '{Name}' is too long", Name);
        }

        var geometry = ImageGeometry.From(header);
        var tables = new byte[entry.L1Entries * 8];
        await PaddedReads.ReadAsync(file, entry.L1Offset, tables).ConfigureAwait(false);
        var table = new byte[header.ClusterSize];
        for (var i = 0; i < tables.Length; i += 8)
        {
            var l1 = new L1Entry(BinaryPrimitives.ReadUInt64BigEndian(tables.AsSpan(i)));
            if (!l1.HasTable)
            {
                continue;
            }

            await PaddedReads.ReadAsync(file, l1.Table.Value, table).ConfigureAwait(false);
            for (var at = 0; at < table.Length; at += header.L2EntrySize)
            {
                if (L2Entry.Read(table.AsSpan(at), header.HasSubclusters).KindAt(geometry, 0) is SubclusterKind.ZeroPlain or SubclusterKind.ZeroAllocated)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private BlockException Unfit(string why) => new(ErrorCode.NotSupported, $"'{Name}' cannot become an image of version 2: {why}", Name);
}
