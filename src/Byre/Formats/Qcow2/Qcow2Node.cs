using System.Numerics;
using System.Runtime.ExceptionServices;
using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2.Metadata;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Formats.Qcow2;

/// <summary>A qcow2 image: wires the classes that do the work.</summary>
public sealed class Qcow2Node : BlockNode, IBackedNode, IKnownZero, IImageCheck, ICopyRangeTarget, IIncompleteMark
{
    private const int DirtyBytes = 8 << 20;
    private const int PendingLimit = 65536;

    private readonly BlockEdge[] children;
    private readonly Qcow2OpenOptions options;
    private readonly BlockEdge data;
    private readonly HeaderStore headers;
    private readonly ResidentTable l1;
    private readonly SliceCache l2;
    private readonly SliceCache refcounts;
    private readonly int dirtyLimit;
    private readonly Timer? cleaning;
    private readonly RequestEpochs epochs;
    private readonly Quarantine quarantine;
    private readonly WriteBackRound round;
    private readonly GuestMap map;
    private readonly ReadPath reads;
    private readonly WritePath writes;
    private readonly CompressedClusters compressed;
    private readonly CompressedWrites compressedWrites;
    private readonly KernelWrites kernelWrites;
    private readonly ZeroAndDiscard zeroes;
    private readonly Resize resize;
    private readonly WritePreparation preparation;
    private long length;

    private Qcow2Node(
        BlockEdge file, BlockEdge? dataFile, BlockEdge? backing, Qcow2OpenOptions options, HeaderStore headers, ResidentTable l1Table, ResidentTable refcountTable)
    {
        File = file;
        DataFile = dataFile;
        Backing = backing;
        this.options = options;
        this.headers = headers;
        l1 = l1Table;
        data = dataFile ?? file;
        children = [.. new[] { file, dataFile, backing }.OfType<BlockEdge>()];
        var header = headers.Header;
        length = header.Size;
        var gate = new Lock();
        var roundLock = new AsyncMutex();
        var sliceSize = Math.Min(4096, header.ClusterSize);
        var l2Slice = options.L2SliceBytes ?? sliceSize;
        l2 = new SliceCache(file, gate, l2Slice, SliceLimit(options.L2CacheBytes, l2Slice));
        dirtyLimit = DirtyBytes / l2Slice;
        refcounts = new SliceCache(file, gate, sliceSize, SliceLimit(options.RefcountCacheBytes, sliceSize)) { LoadEvent = BlkdebugEvent.RefblockLoad };
        epochs = new RequestEpochs();
        quarantine = new Quarantine(epochs, header.ClusterSize);
        var guard = new OverlapGuard(options.OverlapChecks, header.ClusterBits);
        Guarded = guard;
        var allocator = new ClusterAllocator(file, gate, refcounts, refcountTable, headers, guard, roundLock);
        round = new WriteBackRound(file, dataFile, gate, roundLock, l2, refcounts, l1, refcountTable, quarantine, allocator, headers);
        l2.WriteBack = () => round.RunAsync();
        refcounts.WriteBack = () => round.RunAsync(all: true);
        preparation = new WritePreparation(headers, round, options.LazyRefcounts);
        map = new GuestMap(file, gate, l1, l2, headers, allocator, quarantine, guard);
        compressed = new CompressedClusters(file, map, headers, options.Blocking);
        reads = new ReadPath(data, backing, map, compressed);
        var claims = new InFlightAllocations();
        writes = new WritePath(file, dataFile, map, reads, allocator, claims, guard, headers, options.PassDiscardOther, () => Length);
        compressedWrites = new CompressedWrites(
            file, map, compressed, writes, allocator, claims, guard, headers, options.PassDiscardOther, () => Length);
        kernelWrites = new KernelWrites(file, map, writes, allocator, claims, guard);
        var isRaw = dataFile is not null && (header.Autoclear & AutoclearFeatures.RawExternalData) != 0;
        zeroes = new ZeroAndDiscard(dataFile, backing, map, reads, writes, claims, isRaw, options, () => Length);
        resize = new Resize(file, dataFile, backing, gate, l1, headers, allocator, guard, map, reads, writes, zeroes, round, roundLock, claims, isRaw);
        if (options.CacheCleanInterval > TimeSpan.Zero)
        {
            // The timer holds the caches and not the node, so that a node that was never closed can be collected.
            var (tables, counts) = (l2, refcounts);
            cleaning = new Timer(
                _ =>
                {
                    tables.DropUnused();
                    counts.DropUnused();
                },
                null,
                options.CacheCleanInterval,
                options.CacheCleanInterval);
        }

        var unit = map.SubclusterSize;
        Limits = new BlockLimits
        {
            OptimalTransfer = header.ClusterSize,
            MaxTransfer = 1 << 30,
            WriteZeroesAlignment = unit,
            DiscardAlignment = header.ClusterSize,
        };
    }

    /// <inheritdoc/>
    public override string DriverName => "qcow2";

    /// <inheritdoc/>
    public override long Length => Volatile.Read(ref length);

    /// <inheritdoc/>
    public override bool IsReadOnly => options.ReadOnly || File.Node.IsReadOnly;

    /// <inheritdoc/>
    public override BlockLimits Limits { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<BlockEdge> Children => children;

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags =>
        DataFile is null ? WriteFlags.Compressed | WriteFlags.Unchanged : WriteFlags.Unchanged;

    /// <summary>The header as it is now.</summary>
    public Qcow2Header Header => headers.Header;

    /// <summary>The edge to the image file.</summary>
    public BlockEdge File { get; }

    /// <summary>The edge to the external data file, or null.</summary>
    public BlockEdge? DataFile { get; }

    /// <inheritdoc/>
    public BlockEdge? Backing { get; }

    /// <inheritdoc/>
    public string? BackingFileName => Header.BackingFile;

    /// <inheritdoc/>
    public string? BackingFormat => Header.BackingFormat;

    /// <inheritdoc/>
    public bool IsKnownZero =>
        Backing is null && Header.BackingFile is null && ((Header.Autoclear & AutoclearFeatures.AllZero) != 0 || l1.IsAllZero);

    /// <summary>What metadata is where.</summary>
    internal OverlapGuard Guarded { get; }

    /// <summary>How many slices of tables are in memory: of L2 tables, of refcount blocks.</summary>
    internal (int L2, int Refcounts) CachedSlices => (l2.Count, refcounts.Count);

    /// <summary>Opens an image. The edges belong to the node once it is open; if opening fails the caller disposes them.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <param name="dataFile">The external data file; required where the header names one.</param>
    /// <param name="backing">The backing file, or null where it is not opened.</param>
    /// <param name="options">How to open it.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Corrupt"/>: the image is marked corrupt or dirty and was to be opened for writing, or a table
    /// cannot be true; <see cref="ErrorCode.NotSupported"/>: it is encrypted; <see cref="ErrorCode.Invalid"/>: the data file
    /// is missing.
    /// </exception>
    public static async ValueTask<Qcow2Node> OpenAsync(
        BlockEdge file, Qcow2Header header, BlockEdge? dataFile, BlockEdge? backing, Qcow2OpenOptions options)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        ArgumentNullException.ThrowIfNull(options);
        var name = file.Node.FileName;
        if (options.L2SliceBytes is { } unit && (unit < 512 || unit > header.ClusterSize || !BitOperations.IsPow2(unit)))
        {
            throw new BlockException(ErrorCode.Invalid, $"L2 slices must be a power of two from 512 to the cluster size ({header.ClusterSize})", name);
        }

        if (options.DiscardNoUnref && header.Version < 3)
        {
            throw new BlockException(ErrorCode.Invalid, $"The image '{name}' of version 2 cannot keep the mapping of what is discarded", name);
        }

        var writable = !options.ReadOnly && !file.Node.IsReadOnly;
        OpenChecks.Check(header, dataFile, writable && !options.ForCheck, name);
        var headers = await HeaderStore.OpenAsync(file, header, writable && !options.ForCheck).ConfigureAwait(false);
        var l1 = await ResidentTable.ReadAsync(file, header.L1Offset, (int)header.L1Entries).ConfigureAwait(false);
        var tableBytes = (long)header.RefcountTableClusters << header.ClusterBits;
        var refcountTable = await ResidentTable.ReadAsync(file, header.RefcountTableOffset, (int)(tableBytes / 8)).ConfigureAwait(false);
        var node = new Qcow2Node(file, dataFile, backing, options, headers, l1, refcountTable);
        if (writable && !options.ForCheck)
        {
            await OpenChecks.FillGuardAsync(node.Guarded, file, header, l1, refcountTable).ConfigureAwait(false);
            const AutoclearFeatures known = AutoclearFeatures.Bitmaps | AutoclearFeatures.RawExternalData | AutoclearFeatures.AllZero;
            if ((header.Autoclear & ~known) != 0)
            {
                await headers.UpdateAsync(h => h with { Autoclear = h.Autoclear & known }).ConfigureAwait(false);
            }
        }

        foreach (var child in node.children)
        {
            child.Parent = node;
        }

        return node;
    }

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        var epoch = epochs.Enter();
        ValueTask pending;
        try
        {
            pending = reads.ReadAsync(offset, buffer);
        }
        catch
        {
            epochs.Leave(epoch);
            throw;
        }

        if (!pending.IsCompletedSuccessfully)
        {
            return FinishAsync(pending, epoch);
        }

        pending.GetAwaiter().GetResult();
        epochs.Leave(epoch);
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        if ((flags & WriteFlags.Compressed) != 0 || !preparation.IsDone || headers.IsCorrupt)
        {
            return WriteSlowAsync(offset, data, flags);
        }

        var epoch = epochs.Enter();
        ValueTask pending;
        try
        {
            pending = writes.WriteAsync(offset, data);
        }
        catch
        {
            epochs.Leave(epoch);
            throw;
        }

        if (!pending.IsCompletedSuccessfully)
        {
            return FinishWriteAsync(pending, epoch);
        }

        pending.GetAwaiter().GetResult();
        epochs.Leave(epoch);
        return NeedsRound ? round.RunAsync() : default;
    }

    /// <inheritdoc/>
    public async ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        if (DataFile is not null)
        {
            return 0;
        }

        await preparation.RunAsync(keepAllZero: false).ConfigureAwait(false);
        var epoch = epochs.Enter();
        long done;
        try
        {
            done = await kernelWrites.CopyAsync(offset, source, sourceOffset, length, mode).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }

        await RoundIfNeededAsync().ConfigureAwait(false);
        return done;
    }

    /// <inheritdoc/>
    public bool MayShareBlocks(BlockNode source) => DataFile is null && File.Node is ICopyRangeTarget target && target.MayShareBlocks(source);

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        await preparation.RunAsync(keepAllZero: true).ConfigureAwait(false);
        var epoch = epochs.Enter();
        bool done;
        try
        {
            done = await zeroes.TryZeroAsync(offset, length, (flags & WriteFlags.MayUnmap) != 0).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }

        await RoundIfNeededAsync().ConfigureAwait(false);
        return done;
    }

    /// <inheritdoc/>
    public override async ValueTask DiscardAsync(long offset, long length)
    {
        await preparation.RunAsync(keepAllZero: true).ConfigureAwait(false);
        var epoch = epochs.Enter();
        try
        {
            await zeroes.DiscardAsync(offset, length).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }

        await RoundIfNeededAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override ValueTask WriteBackAsync() => round.RunAsync();

    /// <inheritdoc/>
    public override ValueTask SyncAsync() => round.SyncAsync();

    /// <inheritdoc/>
    public override async ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        var epoch = epochs.Enter();
        try
        {
            await ExtentAnswers.AnswerAsync(map, data, extents, precision).ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }
    }

    /// <inheritdoc/>
    public override async ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        await Resize.CheckBitmapsAsync(File, Header, length).ConfigureAwait(false);
        await preparation.RunAsync(keepAllZero: true, keepBitmaps: true).ConfigureAwait(false);
        await resize.RunAsync(Length, length, preallocation, v => Volatile.Write(ref this.length, v)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<CheckReport> CheckAsync(RepairMode repair, IProgress<double>? progress = null) =>
        Qcow2Checker.CheckAsync(File, Header, DataFile is not null, repair, progress);

    /// <inheritdoc/>
    public ValueTask MarkIncompleteAsync() => Header.Version < 3
        ? default
        : headers.RewriteAsync(h => h with { Incompatible = h.Incompatible | IncompatibleFeatures.Incomplete });

    /// <inheritdoc/>
    public ValueTask MarkCompleteAsync() => (Header.Incompatible & IncompatibleFeatures.Incomplete) == 0
        ? default
        : headers.RewriteAsync(h => h with { Incompatible = h.Incompatible & ~IncompatibleFeatures.Incomplete });

    /// <inheritdoc/>
    public override PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) =>
        DefaultPermissions.ForFormat(role, parents, !IsReadOnly);

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        cleaning?.Dispose();
        ExceptionDispatchInfo? failure = null;
        if (!IsReadOnly)
        {
            try
            {
                await preparation.CloseAsync().ConfigureAwait(false);
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e); // the children are let go of all the same
            }
        }

        compressed.Dispose();
        try
        {
            await base.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception) when (failure is not null)
        {
            // The first failure is the cause.
        }

        failure?.Throw();
    }

    private static int SliceLimit(long bytes, int sliceSize) => (int)Math.Clamp(bytes / sliceSize, 8, int.MaxValue / 4096);

    private bool NeedsRound => l2.DirtyCount > dirtyLimit || quarantine.PendingCount > PendingLimit;

    private ValueTask RoundIfNeededAsync() => NeedsRound ? round.RunAsync() : default;

    private async ValueTask FinishAsync(ValueTask pending, long epoch)
    {
        try
        {
            await pending.ConfigureAwait(false);
        }
        finally
        {
            epochs.Leave(epoch);
        }
    }

    private async ValueTask FinishWriteAsync(ValueTask pending, long epoch)
    {
        await FinishAsync(pending, epoch).ConfigureAwait(false);
        await RoundIfNeededAsync().ConfigureAwait(false);
    }

    private async ValueTask WriteSlowAsync(long offset, ReadOnlyMemory<byte> bytes, WriteFlags flags)
    {
        await preparation.RunAsync(keepAllZero: false).ConfigureAwait(false);
        var epoch = epochs.Enter();
        await FinishWriteAsync(
            (flags & WriteFlags.Compressed) != 0 ? compressedWrites.WriteAsync(offset, bytes) : writes.WriteAsync(offset, bytes), epoch)
            .ConfigureAwait(false);
    }
}
