using Byre.Bitmaps;
using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2.Metadata;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Formats.Qcow2;

/// <summary>A qcow2 image: hands what it is asked to the class that does it.</summary>
public sealed class Qcow2Node : BlockNode, IBackedNode, IKnownZero, IImageCheck, ICopyRangeTarget, IIncompleteMark,
    IEmptiable, IBackingReference, IKeySlots, IPersistentBitmaps, ISnapshotStore, IVmStateStore
{
    private readonly BlockEdge[] children;
    private readonly DiskLength length;
    private readonly Qcow2Parts parts;
    private readonly GuestRequests requests;
    private bool showsSnapshot;

    private Qcow2Node(BlockEdge file, BlockEdge? dataFile, BlockEdge? backing, Qcow2OpenOptions options, OpenTables read)
    {
        File = file;
        DataFile = dataFile;
        Backing = backing;
        children = [.. new[] { file, dataFile, backing }.OfType<BlockEdge>()];
        length = new DiskLength(read.Headers.Header.Size);
        parts = new Qcow2Parts(file, dataFile, backing, options, read, length, TrackBitmaps, HoldUsersAsync);
        requests = parts.Requests;
    }

    /// <inheritdoc/>
    public override string DriverName => "qcow2";

    /// <inheritdoc/>
    public override long Length => length.Value;

    /// <inheritdoc/>
    public override bool IsReadOnly => parts.IsReadOnly;

    /// <inheritdoc/>
    public override BlockLimits Limits => parts.Limits;

    /// <inheritdoc/>
    public override IReadOnlyList<BlockEdge> Children => children;

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags =>
        DataFile is null && !IsEncrypted ? WriteFlags.Compressed | WriteFlags.Unchanged : WriteFlags.Unchanged;

    /// <summary>Guest data is stored encrypted. Nothing is compressed then: compressed clusters are never encrypted.</summary>
    public bool IsEncrypted => Header.CryptMethod != EncryptionHeader.None;

    /// <summary>The header as it is now.</summary>
    public Qcow2Header Header => parts.Headers.Header;

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
        && ((!showsSnapshot && (Header.Autoclear & AutoclearFeatures.AllZero) != 0) || parts.L1.IsAllZero);

    /// <summary>What metadata is where.</summary>
    internal OverlapGuard Guarded => parts.Guard;

    /// <summary>How many references were given back that were not counted; 0 where the image was sound and so are we.</summary>
    internal long UncountedReleases => parts.Allocator.UncountedReleases;

    /// <summary>How many slices of tables are in memory: of L2 tables, of refcount blocks.</summary>
    internal (int L2, int Refcounts) CachedSlices => (parts.L2.Count, parts.Refcounts.Count);

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
        var writable = !options.ReadOnly && !file.Node.IsReadOnly && !options.ForCheck;
        OpenChecks.Check(header, dataFile, writable, name);
        var read = await OpenTables.ReadAsync(file, header, writable, encryption).ConfigureAwait(false);
        var node = new Qcow2Node(file, dataFile, backing, options, read);
        if (writable)
        {
            await node.parts.BeginWritingAsync().ConfigureAwait(false);
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
        requests.TryWriteZeroesAsync(offset, length, flags);

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length) => requests.DiscardAsync(offset, length);

    /// <inheritdoc/>
    public override ValueTask WriteBackAsync() => parts.Round.RunAsync();

    /// <inheritdoc/>
    public override ValueTask SyncAsync() => parts.Round.SyncAsync();

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
            await parts.Bitmaps.BeforeResizeAsync(length).ConfigureAwait(false);
        }

        await parts.Preparation.RunAsync(keepAllZero: true, keepBitmaps: true).ConfigureAwait(false);
        await parts.Resize.RunAsync(Length, length, preallocation, v => this.length.Value = v).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask EmptyAsync() => parts.Emptying.RunAsync(Length);

    /// <summary>
    /// Changes what the image is. The node is idle, and the image must be opened anew before it is used again. A crash leaves an
    /// image that reads the same, with some of the changes.
    /// </summary>
    /// <param name="options">What is to be changed.</param>
    /// <exception cref="BlockException">A change is not possible (nothing is changed then), or a request failed.</exception>
    public ValueTask AmendAsync(Qcow2AmendOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return parts.Amend.RunAsync(options, length, ResizeWithBitmapsAsync);
    }

    /// <inheritdoc/>
    public bool KeepsZeroes => Header.Version >= 3 || Backing is not null;

    /// <inheritdoc/>
    public void CheckBackingReference(string? fileName, string? format) => parts.Reference.Check(fileName, format);

    /// <inheritdoc/>
    public ValueTask ChangeBackingReferenceAsync(string? fileName, string? format) => parts.Reference.ChangeAsync(fileName, format);

    /// <inheritdoc/>
    public ValueTask<CheckReport> CheckAsync(RepairMode repair, IProgress<double>? progress = null) =>
        Qcow2Checker.CheckAsync(File, Header, DataFile is not null, repair, progress);

    /// <inheritdoc/>
    public ValueTask ChangeKeySlotsAsync(KeySlotChange change, bool force) => parts.ChangeKeySlotsAsync(change, force);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<SnapshotInfo>> ListSnapshotsAsync() => parts.Snapshots.ListAsync();

    /// <inheritdoc/>
    public ValueTask<SnapshotInfo> CreateSnapshotAsync(SnapshotRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return parts.Snapshots.CreateAsync(request);
    }

    /// <inheritdoc/>
    public ValueTask ApplySnapshotAsync(SnapshotSelector which)
    {
        ArgumentNullException.ThrowIfNull(which);
        return parts.Snapshots.ApplyAsync(which);
    }

    /// <inheritdoc/>
    public ValueTask DeleteSnapshotAsync(SnapshotSelector which)
    {
        ArgumentNullException.ThrowIfNull(which);
        return parts.Snapshots.DeleteAsync(which);
    }

    /// <inheritdoc/>
    public async ValueTask ShowSnapshotAsync(SnapshotSelector which)
    {
        ArgumentNullException.ThrowIfNull(which);
        if (!IsReadOnly)
        {
            throw new BlockException(ErrorCode.Invalid, $"A snapshot of the image '{FileName}' can be shown only where it is open for reading", FileName);
        }

        await parts.Snapshots.ShowAsync(which).ConfigureAwait(false);
        showsSnapshot = true;
    }

    /// <inheritdoc/>
    public ValueTask ReadVmStateAsync(long offset, Memory<byte> buffer) => parts.Snapshots.ReadStateAsync(offset, buffer);

    /// <inheritdoc/>
    public async ValueTask WriteVmStateAsync(long offset, ReadOnlyMemory<byte> data)
    {
        await parts.Snapshots.WriteStateAsync(offset, data).ConfigureAwait(false);
        Flushes.MarkWritten();
    }

    /// <inheritdoc/>
    public ValueTask MarkIncompleteAsync() => Header.Version < 3 ? default : parts.Headers.MarkAsync(IncompatibleFeatures.Incomplete, isSet: true);

    /// <inheritdoc/>
    public ValueTask MarkCompleteAsync() => parts.Headers.MarkAsync(IncompatibleFeatures.Incomplete, isSet: false);

    /// <inheritdoc/>
    public bool CanKeepBitmaps => Header.Version >= 3;

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<DirtyBitmap>> ListBitmapsAsync() => parts.Bitmaps.ListAsync();

    /// <inheritdoc/>
    public ValueTask<DirtyBitmap> AddBitmapAsync(string name, long granularity, bool isEnabled) => parts.Bitmaps.AddAsync(name, granularity, isEnabled);

    /// <inheritdoc/>
    public ValueTask RemoveBitmapAsync(string name) => parts.Bitmaps.RemoveAsync(name);

    /// <inheritdoc/>
    public async ValueTask ClearBitmapAsync(string name) => await parts.Bitmaps.UseAsync(name, static b => b.Clear()).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask EnableBitmapAsync(string name, bool isEnabled) =>
        await parts.Bitmaps.UseAsync(name, b => b.Enable(isEnabled)).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask MergeBitmapAsync(string name, DirtyBitmap source) =>
        await parts.Bitmaps.UseAsync(name, b => b.Merge(source)).ConfigureAwait(false);

    /// <inheritdoc/>
    public ValueTask<DirtyBitmap> UseBitmapAsync(string name) => parts.Bitmaps.UseAsync(name, static _ => { });

    /// <inheritdoc/>
    public override PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) =>
        DefaultPermissions.ForFormat(role, parents, !IsReadOnly);

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        var isStored = false;
        try
        {
            await parts.DisposeAsync().ConfigureAwait(false);
            isStored = true;
        }
        finally
        {
            try
            {
                await base.DisposeAsync().ConfigureAwait(false);
            }
            catch (Exception) when (!isStored)
            {
                // The first failure is the cause.
            }
        }
    }

    private async ValueTask ResizeWithBitmapsAsync(long size)
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
    }
}
