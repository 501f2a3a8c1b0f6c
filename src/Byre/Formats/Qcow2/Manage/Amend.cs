using System.Numerics;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Changes what an image is: its version, the width of its reference counts, names and flags in its header. Every step is one
/// write of the header's first sector after all that it needs is on stable storage.
/// </summary>
internal sealed class Amend(
    BlockEdge file, HeaderStore headers, ClusterAllocator allocator, OverlapGuard guard, WriteBackRound round, WritePreparation preparation, PersistentBitmaps bitmaps,
    AmendZeroes zeroes)
{
    private readonly AmendSnapshots snapshots = new(file, headers, allocator);

    /// <summary>Makes the changes, one after the other. No request is in flight.</summary>
    /// <param name="options">What is to be changed.</param>
    /// <param name="length">The disk's length.</param>
    /// <param name="resize">Gives the disk another length.</param>
    /// <exception cref="BlockException">A change is not possible (nothing is changed then), or a request failed.</exception>
    public async ValueTask RunAsync(Qcow2AmendOptions options, DiskLength length, Func<long, ValueTask> resize)
    {
        await bitmaps.StoreAsync().ConfigureAwait(false); // so that the check sees them
        AmendChecks.Check(options, headers.Header, file.Node.FileName);
        await preparation.RunAsync(keepAllZero: true, keepBitmaps: true).ConfigureAwait(false);
        await RaiseAsync(options).ConfigureAwait(false);
        if (options.Size is { } size && size != length.Value)
        {
            await resize(size).ConfigureAwait(false);
            await bitmaps.StoreAsync().ConfigureAwait(false); // while the clusters can be counted
        }

        await ReshapeAsync(options, length.Value).ConfigureAwait(false);
    }

    /// <summary>Does what only adds to the header: the higher version, names, flags.</summary>
    private async ValueTask RaiseAsync(Qcow2AmendOptions options)
    {
        if ((options.Version ?? headers.Header.Version) < headers.Header.Version)
        {
            await snapshots.CheckDowngradeAsync().ConfigureAwait(false);
        }

        var before = headers.Header;
        HostRun? table = null;
        FreedRange? old = null;
        if (options.Version > before.Version)
        {
            old = await snapshots.CurrentAsync().ConfigureAwait(false);
            table = await snapshots.WriteExtendedAsync().ConfigureAwait(false);
        }

        await SyncAsync().ConfigureAwait(false);
        if (Change(before, options, table) != before)
        {
            await headers.RewriteAsync(h => Change(h, options, table)).ConfigureAwait(false);
        }

        if (old is { } range && table is { } run)
        {
            guard.Remove(OverlapChecks.SnapshotTable, range.Offset, range.Count << before.ClusterBits);
            guard.Add(OverlapChecks.SnapshotTable, run.Offset, (long)run.Count << before.ClusterBits);
            await allocator.ReleaseAsync(range).ConfigureAwait(false);
            await SyncAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Changes the reference counts' width, and lowers the version. Nobody uses the open image afterwards.</summary>
    /// <param name="options">What is wanted.</param>
    /// <param name="length">Length of the disk in bytes.</param>
    private async ValueTask ReshapeAsync(Qcow2AmendOptions options, long length)
    {
        var lowers = options.Version < headers.Header.Version;
        if (lowers)
        {
            await zeroes.RunAsync(length).ConfigureAwait(false);
        }

        await SyncAsync().ConfigureAwait(false);
        var order = options.RefcountBits is { } bits ? BitOperations.Log2((uint)bits) : headers.Header.RefcountOrder;
        var next = order == headers.Header.RefcountOrder ? headers.Header : await AmendRefcounts.RunAsync(file, headers.Header, order).ConfigureAwait(false);
        if (lowers)
        {
            next = next with
            {
                Version = 2,
                Incompatible = IncompatibleFeatures.None,
                Compatible = CompatibleFeatures.None,
                Autoclear = AutoclearFeatures.None,
                UnknownFields = default,
            };
        }

        if (next != headers.Header)
        {
            await headers.RewriteAsync(_ => next).ConfigureAwait(false);
        }
    }

    private static Qcow2Header Change(Qcow2Header header, Qcow2AmendOptions options, HostRun? table)
    {
        header = options.Version > header.Version ? header with { Version = options.Version.Value } : header;
        if (table is { } run)
        {
            header = header with { SnapshotsOffset = run.Offset.Value };
        }

        if (options.LazyRefcounts is { } lazy && header.Version >= 3)
        {
            header = header with
            {
                Compatible = lazy ? header.Compatible | CompatibleFeatures.LazyRefcounts : header.Compatible & ~CompatibleFeatures.LazyRefcounts,
            };
        }

        if (options.DataFileName is { } dataFile && header.HasDataFile)
        {
            header = header with { DataFileName = dataFile.Length == 0 ? null : dataFile };
        }

        return options.DataFileRaw == false ? header with { Autoclear = header.Autoclear & ~AutoclearFeatures.RawExternalData } : header;
    }

    private async ValueTask SyncAsync()
    {
        await round.CleanAsync().ConfigureAwait(false);
        await round.SyncAsync().ConfigureAwait(false);
    }
}
