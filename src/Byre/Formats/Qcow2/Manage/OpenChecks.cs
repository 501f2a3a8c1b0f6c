using System.Numerics;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>What is looked at before an image is used.</summary>
internal static class OpenChecks
{
    /// <summary>Throws where the options make no sense for the image.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>; the message names the image.</exception>
    public static void CheckOptions(Qcow2OpenOptions options, Qcow2Header header, string name)
    {
        if (options.L2SliceBytes is { } unit && (unit < 512 || unit > header.ClusterSize || !BitOperations.IsPow2(unit)))
        {
            throw new BlockException(ErrorCode.Invalid, $"L2 slices must be a power of two from 512 to the cluster size ({header.ClusterSize})", name);
        }

        if (options.DiscardNoUnref && header.Version < 3)
        {
            throw new BlockException(ErrorCode.Invalid, $"The image '{name}' of version 2 cannot keep the mapping of what is discarded", name);
        }
    }

    /// <summary>Throws where the image cannot be opened this way.</summary>
    public static void Check(Qcow2Header header, BlockEdge? dataFile, bool writable, string name)
    {
        if (header.CryptMethod == EncryptionHeader.Aes && writable)
        {
            throw new BlockException(
                ErrorCode.NotSupported, $"The image '{name}' has the old AES encryption, which is no protection: it can be read, but not written", name);
        }

        if (header.HasDataFile != dataFile is not null)
        {
            throw new BlockException(
                ErrorCode.Invalid,
                header.HasDataFile ? $"The image '{name}' needs its external data file" : $"The image '{name}' has no external data file",
                name);
        }

        var perTable = (long)(header.ClusterSize / header.L2EntrySize) << header.ClusterBits;
        if (header.Size > 0 && (header.Size - 1) / perTable >= header.L1Entries)
        {
            throw new BlockException(ErrorCode.Corrupt, $"The L1 table of the image '{name}' is too small for its size", name);
        }

        if (writable && (header.Incompatible & IncompatibleFeatures.Corrupt) != 0)
        {
            throw new BlockException(
                ErrorCode.Corrupt, $"The image '{name}' is marked corrupt and cannot be opened for writing before it is repaired", name);
        }

        if (writable && (header.Incompatible & IncompatibleFeatures.Dirty) != 0)
        {
            throw new BlockException(
                ErrorCode.Corrupt, $"The image '{name}' was not closed properly and cannot be opened for writing before it is repaired", name);
        }

        if (writable && header.RefcountTableClusters == 0)
        {
            throw new BlockException(ErrorCode.Corrupt, $"The image '{name}' has no refcount table and must be repaired", name);
        }
    }

    /// <summary>Tells the guard where metadata is.</summary>
    public static async ValueTask FillGuardAsync(
        OverlapGuard guard, BlockEdge file, Qcow2Header header, ResidentTable l1, ResidentTable refcountTable)
    {
        guard.Add(OverlapChecks.MainHeader, HostOffset.Zero, header.ClusterSize);
        guard.Add(OverlapChecks.ActiveL1, new HostOffset(header.L1Offset), header.L1Entries * 8L);
        guard.Add(OverlapChecks.RefcountTable, new HostOffset(header.RefcountTableOffset), (long)header.RefcountTableClusters << header.ClusterBits);
        if (header.CryptMethod == EncryptionHeader.Luks)
        {
            var (offset, length) = EncryptionHeader.PlaceOf(header, file.Node.FileName);
            guard.Add(OverlapChecks.MainHeader, new HostOffset(offset), Math.Min(length, file.Length - offset));
        }

        AddTables(guard, OverlapChecks.ActiveL2, l1, static raw => new L1Entry(raw).Table, header.ClusterSize);
        AddTables(guard, OverlapChecks.RefcountBlock, refcountTable, static raw => new RefcountTableEntry(raw).Block, header.ClusterSize);
        var snapshots = await SnapshotTable.ReadAsync(file, header, mayBeCut: true).ConfigureAwait(false);
        guard.Add(OverlapChecks.SnapshotTable, new HostOffset(header.SnapshotsOffset), snapshots.Bytes);
        foreach (var entry in snapshots.Entries)
        {
            if (entry.L1Offset > 0 && entry.L1Entries <= Qcow2Limits.MaxL1Bytes / 8)
            {
                guard.Add(OverlapChecks.InactiveL1, new HostOffset(entry.L1Offset), entry.L1Entries * 8L);
                if (guard.Knows(OverlapChecks.InactiveL2))
                {
                    var table = await ResidentTable.ReadAsync(file, entry.L1Offset, (int)entry.L1Entries).ConfigureAwait(false);
                    AddTables(guard, OverlapChecks.InactiveL2, table, static raw => new L1Entry(raw).Table, header.ClusterSize);
                }
            }
        }

        if (guard.Knows(OverlapChecks.BitmapDirectory))
        {
            await AddBitmapsAsync(guard, file, header).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// The bitmap directory and the tables of the bitmaps. Where the directory makes no sense, what makes sense of it is kept:
    /// the check tells of it, and the image itself is none the worse.
    /// </summary>
    private static async ValueTask AddBitmapsAsync(OverlapGuard guard, BlockEdge file, Qcow2Header header)
    {
        if (BitmapsExtension.BytesIn(header) is not { } extension
            || BitmapsExtension.Read(extension.Span) is not { } place
            || !place.IsPlausible(header.ClusterSize)
            || (long)place.DirectoryOffset + (long)place.DirectoryBytes > file.Length)
        {
            return;
        }

        guard.Add(OverlapChecks.BitmapDirectory, new HostOffset((long)place.DirectoryOffset), (long)place.DirectoryBytes);
        var directory = new byte[place.DirectoryBytes]; // lies in the file
        await PaddedReads.ReadAsync(file, (long)place.DirectoryOffset, directory).ConfigureAwait(false);
        for (long at = 0; at <= directory.Length - BitmapEntry.FixedLength;)
        {
            var entry = BitmapEntry.Read(directory.AsSpan((int)at));
            var length = entry.TableEntries * 8L;
            if (entry.TableOffset > 0 && entry.TableOffset <= file.Length - length)
            {
                guard.Add(OverlapChecks.BitmapDirectory, new HostOffset(entry.TableOffset), length);
            }

            at += entry.Length;
        }
    }

    private static void AddTables(OverlapGuard guard, OverlapChecks kind, ResidentTable table, Func<ulong, HostOffset> place, int clusterSize)
    {
        for (var i = 0; i < table.Count; i++)
        {
            if (place(table[i]) is { Value: > 0 } offset)
            {
                guard.Add(kind, offset, clusterSize);
            }
        }
    }
}
