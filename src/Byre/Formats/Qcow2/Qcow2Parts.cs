using System.Runtime.ExceptionServices;
using Byre.Bitmaps;
using Byre.Crypto;
using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2;

/// <summary>
/// Makes the classes that do the work of an open image and wires them to one another. Only the node has it, to call those that
/// it shows here; each of them knows the collaborators it was given and nothing else.
/// </summary>
internal sealed class Qcow2Parts : IAsyncDisposable
{
    private readonly BlockEdge file;
    private readonly Qcow2OpenOptions options;
    private readonly CompressedClusters compressed;
    private readonly ResidentTable refcountTable;
    private readonly ImageEncryption? encryption;
    private readonly CacheCleaner? cleaner;

    /// <param name="file">The image file.</param>
    /// <param name="dataFile">The external data file, or null.</param>
    /// <param name="backing">The backing file, or null where it is not opened.</param>
    /// <param name="options">How the image is opened.</param>
    /// <param name="read">What was read of it.</param>
    /// <param name="length">The disk's length.</param>
    /// <param name="trackBitmaps">The node's bitmaps.</param>
    /// <param name="holdUsers">Holds users' requests to the node back.</param>
    public Qcow2Parts(
        BlockEdge file, BlockEdge? dataFile, BlockEdge? backing, Qcow2OpenOptions options, OpenTables read, DiskLength length,
        Func<BitmapTracker> trackBitmaps, Func<ValueTask<IAsyncDisposable>> holdUsers)
    {
        this.file = file;
        this.options = options;
        encryption = read.Encryption;
        refcountTable = read.RefcountTable;
        var headers = Headers = read.Headers;
        var l1 = L1 = read.L1;
        var header = headers.Header;
        var isEncrypted = header.CryptMethod != EncryptionHeader.None;
        var data = ImageEncryption.DataOf(dataFile ?? file, header, encryption);
        var gate = new Lock();
        var roundLock = new AsyncMutex();
        var sliceSize = Math.Min(4096, header.ClusterSize);
        var l2Slice = options.L2SliceBytes ?? sliceSize;
        var l2 = L2 = new SliceCache(file, gate, l2Slice, SliceLimit(options.L2CacheBytes, l2Slice));
        var refcounts = Refcounts = new SliceCache(file, gate, sliceSize, SliceLimit(options.RefcountCacheBytes, sliceSize))
        {
            LoadEvent = BlkdebugEvent.RefblockLoad,
        };
        var epochs = new RequestEpochs();
        var quarantine = new Quarantine(epochs, header.ClusterSize);
        var guard = Guard = new OverlapGuard(options.OverlapChecks, header.ClusterBits);
        var allocator = Allocator = new ClusterAllocator(file, gate, refcounts, refcountTable, headers, guard, roundLock);
        var round = Round = new WriteBackRound(file, dataFile, gate, roundLock, l2, refcounts, l1, refcountTable, quarantine, allocator, headers);
        l2.WriteBack = () => round.RunAsync();
        refcounts.WriteBack = () => round.RunAsync(all: true);
        var store = new BitmapStore(file, headers, allocator, round, guard, gate);
        Bitmaps = new PersistentBitmaps(file, headers, store, trackBitmaps, IsReadOnly || options.ForCheck);
        Preparation = new WritePreparation(headers, round, options.LazyRefcounts, Bitmaps.BeforeChangeAsync);
        var map = new GuestMap(file, gate, l1, l2, headers, allocator, quarantine, guard);
        compressed = new CompressedClusters(file, map, headers, options.Blocking);
        var reads = new ReadPath(data, backing, map, compressed, () => length.Value);
        var claims = new InFlightAllocations();
        var writes = new WritePath(dataFile, data, map, reads, allocator, claims, guard, headers, options.PassDiscardOther, () => length.Value);
        var compressedWrites = new CompressedWrites(
            file, map, compressed, writes, allocator, claims, guard, headers, options.PassDiscardOther, () => length.Value);
        var kernelWrites = new KernelWrites(file, map, writes, claims);
        var isRaw = dataFile is not null && (header.Autoclear & AutoclearFeatures.RawExternalData) != 0;
        var zeroes = new ZeroAndDiscard(dataFile, backing, map, reads, writes, claims, isRaw, options, () => length.Value);
        var growth = new L1Growth(file, gate, l1, headers, allocator, guard, round, roundLock);
        Resize = new Resize(file, dataFile, backing, growth, headers, allocator, map, isEncrypted, reads, writes, zeroes, round, claims, isRaw);
        Emptying = new Emptying(
            file, gate, l1, l2, refcounts, refcountTable, headers, allocator, guard, zeroes, round, Preparation, options.PassDiscardRequest);
        Amend = new Amend(file, headers, allocator, guard, round, Preparation, Bitmaps, new AmendZeroes(map, writes, zeroes, headers, round));
        Reference = new BackingReference(file.Node.FileName, headers, Preparation, round);
        var pressure = new WriteBackPressure(l2, quarantine, round);
        Requests = new GuestRequests(epochs, pressure, Preparation, headers, data, map, reads, writes, compressedWrites, kernelWrites, zeroes);
        var work = new SnapshotWork(
            file, gate, l1, refcountTable, l2, refcounts, headers, allocator, guard, round, Preparation, options.PassDiscardSnapshot);
        var state = new VmStateArea(headers, Preparation, growth, map, Requests, zeroes, round, isEncrypted ? SectorCrypt.Sector : 1);
        Snapshots = new Snapshots(work, state, gate, holdUsers, () => length.Value, v => length.Value = v);
        if (options.CacheCleanInterval > TimeSpan.Zero)
        {
            cleaner = new CacheCleaner(options.CacheCleanInterval, l2, refcounts);
        }

        Limits = new BlockLimits
        {
            RequestAlignment = isEncrypted ? SectorCrypt.Sector : 1,
            OptimalTransfer = header.ClusterSize,
            MaxTransfer = 1 << 30,
            WriteZeroesAlignment = map.SubclusterSize,
            DiscardAlignment = header.ClusterSize,
        };
    }

    /// <summary>Nothing of the image can be written.</summary>
    public bool IsReadOnly => options.ReadOnly || file.Node.IsReadOnly;

    /// <summary>The header, and all changes of it.</summary>
    public HeaderStore Headers { get; }

    /// <summary>The active L1 table.</summary>
    public ResidentTable L1 { get; }

    /// <summary>The cache of L2 tables.</summary>
    public SliceCache L2 { get; }

    /// <summary>The cache of refcount blocks.</summary>
    public SliceCache Refcounts { get; }

    /// <summary>What metadata is where.</summary>
    public OverlapGuard Guard { get; }

    /// <summary>Takes clusters and gives them back.</summary>
    public ClusterAllocator Allocator { get; }

    /// <summary>Brings tables to the disk.</summary>
    public WriteBackRound Round { get; }

    /// <summary>What happens before the first change, and at the end.</summary>
    public WritePreparation Preparation { get; }

    /// <summary>What users ask for.</summary>
    public GuestRequests Requests { get; }

    /// <summary>Changes the disk's length.</summary>
    public Resize Resize { get; }

    /// <summary>Makes the whole layer absent.</summary>
    public Emptying Emptying { get; }

    /// <summary>Changes what the image is.</summary>
    public Amend Amend { get; }

    /// <summary>The reference to the backing file.</summary>
    public BackingReference Reference { get; }

    /// <summary>The bitmaps that the image keeps.</summary>
    public PersistentBitmaps Bitmaps { get; }

    /// <summary>The internal snapshots and the VM state.</summary>
    public Snapshots Snapshots { get; }

    /// <summary>What the image wants of requests.</summary>
    public BlockLimits Limits { get; }

    /// <summary>
    /// Makes the image ready to be written: the guard learns where metadata is, what this program does not know about is no
    /// longer claimed (autoclear feature bits), and bitmaps are read.
    /// </summary>
    /// <exception cref="BlockException">A table cannot be read, or makes no sense; or a request failed.</exception>
    public async ValueTask BeginWritingAsync()
    {
        const AutoclearFeatures known = AutoclearFeatures.Bitmaps | AutoclearFeatures.RawExternalData | AutoclearFeatures.AllZero;
        await OpenChecks.FillGuardAsync(Guard, file, Headers.Header, L1, refcountTable).ConfigureAwait(false);
        if ((Headers.Header.Autoclear & ~known) != 0)
        {
            await Headers.UpdateAsync(h => h with { Autoclear = h.Autoclear & known }).ConfigureAwait(false);
        }

        await Bitmaps.LoadAsync().ConfigureAwait(false);
    }

    /// <summary>Adds or erases passphrases.</summary>
    /// <exception cref="BlockException">As <see cref="IKeySlots.ChangeKeySlotsAsync"/>.</exception>
    public ValueTask ChangeKeySlotsAsync(KeySlotChange change, bool force)
    {
        Headers.ThrowIfCorrupt();
        return ImageEncryption.ChangeSlotsAsync(encryption, file.Node.FileName, change, force);
    }

    /// <summary>Stores what is in memory only, and lets go of everything but the files; the key is overwritten.</summary>
    /// <exception cref="BlockException">Something could not be stored; everything was let go of all the same.</exception>
    public async ValueTask DisposeAsync()
    {
        cleaner?.Dispose();
        ExceptionDispatchInfo? failure = null;
        if (!IsReadOnly)
        {
            failure = await TryAsync(Bitmaps.StoreAsync).ConfigureAwait(false);
            var other = await TryAsync(Preparation.CloseAsync).ConfigureAwait(false);
            failure ??= other;
        }

        compressed.Dispose();
        encryption?.Dispose();
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
