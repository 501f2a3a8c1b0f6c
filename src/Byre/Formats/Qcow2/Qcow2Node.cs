using System.Runtime.ExceptionServices;
using Byre.Bitmaps;
using Byre.Crypto;
using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2.Metadata;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Formats.Qcow2;

/// <summary>A qcow2 image: wires the classes that do the work.</summary>
public sealed class Qcow2Node : BlockNode, IBackedNode, IKnownZero, IImageCheck, ICopyRangeTarget, IIncompleteMark,
    IEmptiable, IBackingReference, IKeySlots, IPersistentBitmaps, ISnapshotStore, IVmStateStore
{
    private readonly BlockEdge[] children;
    private readonly Qcow2OpenOptions options;
    private readonly HeaderStore headers;
    private readonly ResidentTable l1;
    private readonly SliceCache l2;
    private readonly SliceCache refcounts;
    private readonly WriteBackRound round;
    private readonly CacheCleaner? cleaner;
    private readonly ClusterAllocator allocator;
    private readonly CompressedClusters compressed;
    private readonly GuestRequests requests;
    private readonly Resize resize;
    private readonly Emptying emptying;
    private readonly BackingReference reference;
    private readonly Amend amend;
    private readonly WritePreparation preparation;
    private readonly ImageEncryption? encryption;
    private readonly PersistentBitmaps bitmaps;
    private readonly Snapshots snapshots;
    private long length;
    private bool showsSnapshot;

    private Qcow2Node(
        BlockEdge file, BlockEdge? dataFile, BlockEdge? backing, Qcow2OpenOptions options, HeaderStore headers, ResidentTable l1Table, ResidentTable refcountTable,
        ImageEncryption? encryption)
    {
        File = file;
        DataFile = dataFile;
        Backing = backing;
        this.options = options;
        this.headers = headers;
        this.encryption = encryption;
        l1 = l1Table;
        children = [.. new[] { file, dataFile, backing }.OfType<BlockEdge>()];
        var header = headers.Header;
        length = header.Size;
        var data = ImageEncryption.DataOf(dataFile ?? file, header, encryption);
        var gate = new Lock();
        var roundLock = new AsyncMutex();
        var sliceSize = Math.Min(4096, header.ClusterSize);
        var l2Slice = options.L2SliceBytes ?? sliceSize;
        l2 = new SliceCache(file, gate, l2Slice, SliceLimit(options.L2CacheBytes, l2Slice));
        refcounts = new SliceCache(file, gate, sliceSize, SliceLimit(options.RefcountCacheBytes, sliceSize)) { LoadEvent = BlkdebugEvent.RefblockLoad };
        var epochs = new RequestEpochs();
        var quarantine = new Quarantine(epochs, header.ClusterSize);
        var guard = new OverlapGuard(options.OverlapChecks, header.ClusterBits);
        Guarded = guard;
        allocator = new ClusterAllocator(file, gate, refcounts, refcountTable, headers, guard, roundLock);
        round = new WriteBackRound(file, dataFile, gate, roundLock, l2, refcounts, l1, refcountTable, quarantine, allocator, headers);
        l2.WriteBack = () => round.RunAsync();
        refcounts.WriteBack = () => round.RunAsync(all: true);
        var store = new BitmapStore(file, headers, allocator, round, guard, gate);
        bitmaps = new PersistentBitmaps(file, headers, store, TrackBitmaps, IsReadOnly || options.ForCheck);
        preparation = new WritePreparation(headers, round, options.LazyRefcounts, bitmaps.BeforeChangeAsync);
        var map = new GuestMap(file, gate, l1, l2, headers, allocator, quarantine, guard);
        compressed = new CompressedClusters(file, map, headers, options.Blocking);
        var reads = new ReadPath(data, backing, map, compressed, () => Length);
        var claims = new InFlightAllocations();
        var writes = new WritePath(dataFile, data, map, reads, allocator, claims, guard, headers, options.PassDiscardOther, () => Length);
        var compressedWrites = new CompressedWrites(
            file, map, compressed, writes, allocator, claims, guard, headers, options.PassDiscardOther, () => Length);
        var kernelWrites = new KernelWrites(file, map, writes, claims);
        var isRaw = dataFile is not null && (header.Autoclear & AutoclearFeatures.RawExternalData) != 0;
        var zeroes = new ZeroAndDiscard(dataFile, backing, map, reads, writes, claims, isRaw, options, () => Length);
        var growth = new L1Growth(file, gate, l1, headers, allocator, guard, round, roundLock);
        resize = new Resize(file, dataFile, backing, growth, headers, allocator, map, IsEncrypted, reads, writes, zeroes, round, claims, isRaw);
        emptying = new Emptying(
            file, gate, l1, l2, refcounts, refcountTable, headers, allocator, guard, zeroes, round, options.PassDiscardRequest);
        amend = new Amend(file, headers, allocator, guard, round, new AmendZeroes(map, writes, zeroes, headers, round));
        reference = new BackingReference(file.Node.FileName, headers, round);
        var pressure = new WriteBackPressure(l2, quarantine, round);
        requests = new GuestRequests(epochs, pressure, preparation, headers, data, map, reads, writes, compressedWrites, kernelWrites, zeroes);
        var work = new SnapshotWork(
            file, gate, l1, refcountTable, l2, refcounts, headers, allocator, guard, round, preparation, options.PassDiscardSnapshot);
        var state = new VmStateArea(headers, preparation, growth, map, requests, zeroes, round, IsEncrypted ? SectorCrypt.Sector : 1);
        snapshots = new Snapshots(work, state, gate, HoldUsersAsync, () => Length, v => Volatile.Write(ref length, v));
        if (options.CacheCleanInterval > TimeSpan.Zero)
        {
            cleaner = new CacheCleaner(options.CacheCleanInterval, l2, refcounts);
        }

        Limits = new BlockLimits
        {
            RequestAlignment = IsEncrypted ? SectorCrypt.Sector : 1,
            OptimalTransfer = header.ClusterSize,
            MaxTransfer = 1 << 30,
            WriteZeroesAlignment = map.SubclusterSize,
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
        DataFile is null && !IsEncrypted ? WriteFlags.Compressed | WriteFlags.Unchanged : WriteFlags.Unchanged;

    /// <summary>Guest data is stored encrypted. Nothing is compressed then: compressed clusters are never encrypted.</summary>
    public bool IsEncrypted => Header.CryptMethod != EncryptionHeader.None;

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
        Backing is null && Header.BackingFile is null
        && ((!showsSnapshot && (Header.Autoclear & AutoclearFeatures.AllZero) != 0) || l1.IsAllZero);

    /// <summary>What metadata is where.</summary>
    internal OverlapGuard Guarded { get; }

    /// <summary>How many references were given back that were not counted; 0 where the image was sound and so are we.</summary>
    internal long UncountedReleases => allocator.UncountedReleases;

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
    /// cannot be true; <see cref="ErrorCode.NotSupported"/>: it has the old AES encryption and was to be opened for writing;
    /// <see cref="ErrorCode.NotPermitted"/>: the passphrase is wrong; <see cref="ErrorCode.Invalid"/>: the passphrase or the data
    /// file is missing.
    /// </exception>
    public static async ValueTask<Qcow2Node> OpenAsync(
        BlockEdge file, Qcow2Header header, BlockEdge? dataFile, BlockEdge? backing, Qcow2OpenOptions options)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        ArgumentNullException.ThrowIfNull(options);
        return await ImageEncryption.OpenWithAsync(
            file, header, options, encryption => OpenAsync(file, header, dataFile, backing, options, encryption)).ConfigureAwait(false);
    }

    private static async ValueTask<Qcow2Node> OpenAsync(
        BlockEdge file, Qcow2Header header, BlockEdge? dataFile, BlockEdge? backing, Qcow2OpenOptions options, ImageEncryption? encryption)
    {
        var name = file.Node.FileName;
        OpenChecks.CheckOptions(options, header, name);
        var writable = !options.ReadOnly && !file.Node.IsReadOnly;
        OpenChecks.Check(header, dataFile, writable && !options.ForCheck, name);
        var headers = await HeaderStore.OpenAsync(file, header, writable && !options.ForCheck).ConfigureAwait(false);
        var l1 = await ResidentTable.ReadAsync(file, header.L1Offset, (int)header.L1Entries).ConfigureAwait(false);
        var tableBytes = header.HasPossibleRefcountTable ? (long)header.RefcountTableClusters << header.ClusterBits : 0;
        var refcountTable = await ResidentTable.ReadAsync(file, header.RefcountTableOffset, (int)(tableBytes / 8)).ConfigureAwait(false);
        var node = new Qcow2Node(file, dataFile, backing, options, headers, l1, refcountTable, encryption);
        if (writable && !options.ForCheck)
        {
            await OpenChecks.FillGuardAsync(node.Guarded, file, header, l1, refcountTable).ConfigureAwait(false);
            const AutoclearFeatures known = AutoclearFeatures.Bitmaps | AutoclearFeatures.RawExternalData | AutoclearFeatures.AllZero;
            if ((header.Autoclear & ~known) != 0)
            {
                await headers.UpdateAsync(h => h with { Autoclear = h.Autoclear & known }).ConfigureAwait(false);
            }

            await node.bitmaps.LoadAsync().ConfigureAwait(false);
        }

        foreach (var child in node.children)
        {
            child.Parent = node;
        }

        if (options.Snapshot is { } snapshot)
        {
            await node.ShowSnapshotAsync(snapshot).ConfigureAwait(false);
        }

        return node;
    }

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => requests.ReadAsync(offset, buffer);

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => requests.WriteAsync(offset, data, flags);

    /// <inheritdoc/>
    public ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode) =>
        DataFile is null && !IsEncrypted ? requests.CopyRangeAsync(offset, source, sourceOffset, length, mode) : new(0L);

    /// <inheritdoc/>
    public bool MayShareBlocks(BlockNode source) => DataFile is null && !IsEncrypted && File.Node is ICopyRangeTarget target && target.MayShareBlocks(source);

    /// <inheritdoc/>
    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags) =>
        requests.TryWriteZeroesAsync(offset, length, (flags & WriteFlags.MayUnmap) != 0);

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length) => requests.DiscardAsync(offset, length);

    /// <inheritdoc/>
    public override ValueTask WriteBackAsync() => round.RunAsync();

    /// <inheritdoc/>
    public override ValueTask SyncAsync() => round.SyncAsync();

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        return requests.GetExtentsAsync(extents, precision);
    }

    /// <inheritdoc/>
    public override async ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        if (length != Length)
        {
            await bitmaps.BeforeResizeAsync(length).ConfigureAwait(false);
        }

        await preparation.RunAsync(keepAllZero: true, keepBitmaps: true).ConfigureAwait(false);
        await resize.RunAsync(Length, length, preallocation, v => Volatile.Write(ref this.length, v)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask EmptyAsync()
    {
        await preparation.RunAsync(keepAllZero: true).ConfigureAwait(false);
        await emptying.RunAsync(Length).ConfigureAwait(false);
    }

    /// <summary>
    /// Changes what the image is. The node is idle, and the image must be opened anew before it is used again. A crash leaves an
    /// image that reads the same, with some of the changes.
    /// </summary>
    /// <param name="options">What is to be changed.</param>
    /// <exception cref="BlockException">A change is not possible (nothing is changed then), or a request failed.</exception>
    public async ValueTask AmendAsync(Qcow2AmendOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        await bitmaps.StoreAsync().ConfigureAwait(false); // so that the check sees them
        amend.Check(options);
        await preparation.RunAsync(keepAllZero: true, keepBitmaps: true).ConfigureAwait(false);
        await amend.RaiseAsync(options).ConfigureAwait(false);
        if (options.Size is { } size && size != Length)
        {
            Bitmaps?.CheckResize(size);
            try
            {
                await ResizeAsync(size, Preallocation.Off).ConfigureAwait(false);
            }
            finally
            {
                Bitmaps?.Resize(Length);
            }

            await bitmaps.StoreAsync().ConfigureAwait(false); // while the clusters can be counted
        }

        await amend.ReshapeAsync(options, Length).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public bool KeepsZeroes => Header.Version >= 3 || Backing is not null;

    /// <inheritdoc/>
    public void CheckBackingReference(string? fileName, string? format) => reference.Check(fileName, format);

    /// <inheritdoc/>
    public async ValueTask ChangeBackingReferenceAsync(string? fileName, string? format)
    {
        reference.Check(fileName, format);
        await preparation.RunAsync(keepAllZero: string.IsNullOrEmpty(fileName), keepBitmaps: true).ConfigureAwait(false);
        await reference.ChangeAsync(fileName, format).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask<CheckReport> CheckAsync(RepairMode repair, IProgress<double>? progress = null) =>
        Qcow2Checker.CheckAsync(File, Header, DataFile is not null, repair, progress);

    /// <inheritdoc/>
    public ValueTask ChangeKeySlotsAsync(KeySlotChange change, bool force)
    {
        headers.ThrowIfCorrupt();
        return ImageEncryption.ChangeSlotsAsync(encryption, File.Node.FileName, change, force);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<SnapshotInfo>> ListSnapshotsAsync() => snapshots.ListAsync();

    /// <inheritdoc/>
    public ValueTask<SnapshotInfo> CreateSnapshotAsync(SnapshotRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return snapshots.CreateAsync(request);
    }

    /// <inheritdoc/>
    public ValueTask ApplySnapshotAsync(SnapshotSelector which)
    {
        ArgumentNullException.ThrowIfNull(which);
        return snapshots.ApplyAsync(which);
    }

    /// <inheritdoc/>
    public ValueTask DeleteSnapshotAsync(SnapshotSelector which)
    {
        ArgumentNullException.ThrowIfNull(which);
        return snapshots.DeleteAsync(which);
    }

    /// <inheritdoc/>
    public async ValueTask ShowSnapshotAsync(SnapshotSelector which)
    {
        ArgumentNullException.ThrowIfNull(which);
        if (!IsReadOnly)
        {
            throw new BlockException(ErrorCode.Invalid, $"A snapshot of the image '{FileName}' can be shown only where it is open for reading", FileName);
        }

        await snapshots.ShowAsync(which).ConfigureAwait(false);
        showsSnapshot = true;
    }

    /// <inheritdoc/>
    public ValueTask ReadVmStateAsync(long offset, Memory<byte> buffer) => snapshots.ReadStateAsync(offset, buffer);

    /// <inheritdoc/>
    public async ValueTask WriteVmStateAsync(long offset, ReadOnlyMemory<byte> data)
    {
        await snapshots.WriteStateAsync(offset, data).ConfigureAwait(false);
        Flushes.MarkWritten();
    }

    /// <inheritdoc/>
    public ValueTask MarkIncompleteAsync() => Header.Version < 3
        ? default
        : headers.RewriteAsync(h => h with { Incompatible = h.Incompatible | IncompatibleFeatures.Incomplete });

    /// <inheritdoc/>
    public ValueTask MarkCompleteAsync() => (Header.Incompatible & IncompatibleFeatures.Incomplete) == 0
        ? default
        : headers.RewriteAsync(h => h with { Incompatible = h.Incompatible & ~IncompatibleFeatures.Incomplete });

    /// <inheritdoc/>
    public bool CanKeepBitmaps => Header.Version >= 3;

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<DirtyBitmap>> ListBitmapsAsync() => bitmaps.ListAsync();

    /// <inheritdoc/>
    public ValueTask<DirtyBitmap> AddBitmapAsync(string name, long granularity, bool isEnabled) => bitmaps.AddAsync(name, granularity, isEnabled);

    /// <inheritdoc/>
    public ValueTask RemoveBitmapAsync(string name) => bitmaps.RemoveAsync(name);

    /// <inheritdoc/>
    public async ValueTask ClearBitmapAsync(string name) => await bitmaps.UseAsync(name, static b => b.Clear()).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask EnableBitmapAsync(string name, bool isEnabled) =>
        await bitmaps.UseAsync(name, b => b.Enable(isEnabled)).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask MergeBitmapAsync(string name, DirtyBitmap source) =>
        await bitmaps.UseAsync(name, b => b.Merge(source)).ConfigureAwait(false);

    /// <inheritdoc/>
    public ValueTask<DirtyBitmap> UseBitmapAsync(string name) => bitmaps.UseAsync(name, static _ => { });

    /// <inheritdoc/>
    public override PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) =>
        DefaultPermissions.ForFormat(role, parents, !IsReadOnly);

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        cleaner?.Dispose();
        ExceptionDispatchInfo? failure = null;
        if (!IsReadOnly)
        {
            failure = await TryAsync(bitmaps.StoreAsync).ConfigureAwait(false);
            var other = await TryAsync(preparation.CloseAsync).ConfigureAwait(false);
            failure ??= other; // the children are let go of all the same
        }

        compressed.Dispose();
        encryption?.Dispose();
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

    private static async ValueTask<ExceptionDispatchInfo?> TryAsync(Func<ValueTask> step)
    {
        try
        {
            await step().ConfigureAwait(false);
            return null;
        }
        catch (Exception e)
        {
            return ExceptionDispatchInfo.Capture(e);
        }
    }

    private static int SliceLimit(long bytes, int sliceSize) => (int)Math.Clamp(bytes / sliceSize, 8, int.MaxValue / 4096);
}
