using System.Numerics;
using System.Text;
using Byre.Bitmaps;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// The bitmaps that an image keeps (qcow2 specification, "Bitmaps extension"): read when it is opened for writing or somebody
/// asks, marked as in use before they can differ from what is stored, stored when the image is closed.
/// </summary>
internal sealed class PersistentBitmaps(BlockEdge file, HeaderStore headers, BitmapStore store, Func<BitmapTracker> track, bool isReadOnly)
{
    private readonly AsyncMutex mutex = new();
    private readonly List<StoredBitmap> bitmaps = [];
    private bool isLoaded;
    private bool isFailed; // storing failed: what is on disk says so

    /// <summary>Reads the directory and the bitmaps, once.</summary>
    /// <exception cref="BlockException">They cannot be read, or make no sense.</exception>
    public async ValueTask LoadAsync()
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            await LoadLockedAsync().ConfigureAwait(false);
        }
        finally
        {
            mutex.Release();
        }
    }

    /// <summary>The bitmaps, in the order of the directory.</summary>
    public async ValueTask<IReadOnlyList<DirtyBitmap>> ListAsync()
    {
        await LoadAsync().ConfigureAwait(false);
        return [.. bitmaps.Select(b => b.Bitmap)];
    }

    /// <summary>The disk is about to be changed: bitmaps that record are marked.</summary>
    public async ValueTask BeforeChangeAsync()
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            // One that cannot be used and should record misses this change.
            await MarkAsync(b => b.IsUsable ? b.Bitmap.IsEnabled : b.Entry.Fixed is { IsAuto: true, IsInUse: false }).ConfigureAwait(false);
        }
        finally
        {
            mutex.Release();
        }
    }

    /// <summary>The disk is about to get another length: bitmaps are marked, if all can follow.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: one cannot.</exception>
    public async ValueTask BeforeResizeAsync(long length)
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            foreach (var bitmap in bitmaps)
            {
                if (!bitmap.IsUsable || length == 0 || TooLarge(length, bitmap.Bitmap.Granularity))
                {
                    throw new BlockException(
                        ErrorCode.NotSupported,
                        $"The image '{file.Node.FileName}' cannot be resized: its bitmap '{bitmap.Bitmap.Name}' "
                            + (!bitmap.IsUsable ? "was not stored properly" : "cannot be stored for that length"),
                        file.Node.FileName);
                }
            }

            await MarkAsync(static b => true).ConfigureAwait(false);
        }
        finally
        {
            mutex.Release();
        }
    }

    /// <summary>Adds a bitmap; it is stored when the image is closed.</summary>
    public ValueTask<DirtyBitmap> AddAsync(string name, long granularity, bool isEnabled) => ChangeAsync(() =>
    {
        granularity = granularity == 0 ? Math.Clamp(headers.Header.ClusterSize, 4096, 65_536) : granularity;
        BitmapRules.CheckName(name);
        BitmapRules.CheckGranularity(granularity);
        CheckRoom(name, granularity);
        var bitmap = new DirtyBitmap(name, headers.Header.Size, granularity) { IsPersistent = true };
        bitmap.Enable(isEnabled);
        track().Add(bitmap);
        bitmaps.Add(new StoredBitmap(bitmap, BitmapDirectoryEntry.Create(name, NewEntry(granularity)), isOnDisk: false));
        return new ValueTask<DirtyBitmap>(bitmap);
    });

    /// <summary>Removes a bitmap, durably.</summary>
    public async ValueTask RemoveAsync(string name) => await ChangeAsync(async () =>
    {
        var stored = Find(name);
        if (stored.Bitmap.IsBusy)
        {
            stored.Bitmap.CheckUsable(changes: false);
        }

        if (stored.IsOnDisk)
        {
            await store.ReplaceAsync([.. bitmaps.Where(b => b.IsOnDisk && b != stored)], [], [stored]).ConfigureAwait(false);
        }

        bitmaps.Remove(stored);
        track().Remove(stored.Bitmap);
        return stored.Bitmap;
    }).ConfigureAwait(false);

    /// <summary>Changes a bitmap, which is marked before.</summary>
    public ValueTask<DirtyBitmap> UseAsync(string name, Action<DirtyBitmap> change) => ChangeAsync(async () =>
    {
        var stored = Find(name);
        stored.Bitmap.CheckUsable(changes: false);
        await MarkAsync(b => b == stored).ConfigureAwait(false);
        change(stored.Bitmap);
        return stored.Bitmap;
    });

    /// <summary>Stores what is not on disk as it is in memory. No request is in flight any more.</summary>
    /// <exception cref="BlockException">It failed: bitmaps that may have changed are left marked, new ones are lost.</exception>
    public async ValueTask StoreAsync()
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            var written = bitmaps.Where(b => b.IsUsable && (b.IsMarked || !b.IsOnDisk)).ToHashSet();
            if (written.Count == 0 || isFailed || headers.IsCorrupt)
            {
                return;
            }

            isFailed = true;
            await store.ReplaceAsync(bitmaps, written, []).ConfigureAwait(false);
            isFailed = false;
            foreach (var bitmap in written)
            {
                bitmap.Bitmap.IsReadOnly = true; // until it is marked again
            }
        }
        catch (BlockException e)
        {
            throw new BlockException(
                e.Code,
                $"The bitmaps of the image '{file.Node.FileName}' could not be stored and are lost; its data is not affected: {e.Message}",
                file.Node.FileName,
                inner: e);
        }
        finally
        {
            mutex.Release();
        }
    }

    private static BitmapEntry NewEntry(long granularity) =>
        new(0, 0, 0, 1, (byte)BitOperations.Log2((ulong)granularity), 0, 0);

    private async ValueTask<DirtyBitmap> ChangeAsync(Func<ValueTask<DirtyBitmap>> change)
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            if (isReadOnly)
            {
                throw new BlockException(ErrorCode.ReadOnly, $"The image '{file.Node.FileName}' is open for reading only: its bitmaps cannot be changed", file.Node.FileName);
            }

            headers.ThrowIfCorrupt();
            await LoadLockedAsync().ConfigureAwait(false);
            return await change().ConfigureAwait(false);
        }
        finally
        {
            mutex.Release();
        }
    }

    private StoredBitmap Find(string name) =>
        bitmaps.Find(b => b.Bitmap.Name == name)
        ?? throw new BlockException(ErrorCode.NotFound, $"The image '{file.Node.FileName}' has no bitmap '{name}'", file.Node.FileName);

    private async ValueTask LoadLockedAsync()
    {
        if (isLoaded)
        {
            return;
        }

        var reader = new BitmapReader(file, headers.Header);
        var found = new List<StoredBitmap>();
        if (reader.Extension() is { } place)
        {
            var directory = await reader.DirectoryAsync(place).ConfigureAwait(false);
            foreach (var entry in reader.Entries(directory, place))
            {
                found.Add(await LoadAsync(reader, entry).ConfigureAwait(false));
            }

            store.Found(new HostOffset((long)place.DirectoryOffset), directory);
        }

        foreach (var stored in found)
        {
            track().Add(stored.Bitmap);
        }

        bitmaps.AddRange(found);
        isLoaded = true;
    }

    private async ValueTask<StoredBitmap> LoadAsync(BitmapReader reader, BitmapDirectoryEntry entry)
    {
        var isBroken = entry.Fixed.IsInUse || entry.IsBeyondUse;
        var bitmap = new DirtyBitmap(entry.Name, headers.Header.Size, 1L << entry.Fixed.GranularityBits, isBroken) { IsPersistent = true };
        if (!isBroken)
        {
            await reader.LoadAsync(entry, bitmap).ConfigureAwait(false);
            bitmap.Enable(entry.Fixed.IsAuto);
        }

        bitmap.IsReadOnly = true; // until it is marked

        return new StoredBitmap(bitmap, entry, isOnDisk: true);
    }

    /// <summary>Marks those bitmaps that are on disk and not marked yet.</summary>
    private async ValueTask MarkAsync(Func<StoredBitmap, bool> wanted)
    {
        var marked = bitmaps.Where(b => b.IsOnDisk && !b.IsMarked && wanted(b)).ToHashSet();
        if (marked.Count > 0)
        {
            await store.MarkAsync(bitmaps, marked).ConfigureAwait(false);
            foreach (var bitmap in marked)
            {
                bitmap.IsMarked = true;
                bitmap.Bitmap.IsReadOnly = false;
            }
        }
    }

    private static bool TooLarge(long length, long granularity) => new DirtyBitmap("b", 0, granularity).BitsFor(length) > BitmapDirectory.MaxBits;

    private void CheckRoom(string name, long granularity)
    {
        var image = file.Node.FileName;
        if (headers.Header.Version < 3)
        {
            throw new BlockException(ErrorCode.NotSupported, $"The image '{image}' of version 2 cannot keep bitmaps", image);
        }

        if (headers.Header.Size == 0)
        {
            throw new BlockException(ErrorCode.NotSupported, $"The image '{image}' has no bytes that a bitmap could tell of", image);
        }

        if (TooLarge(headers.Header.Size, granularity))
        {
            throw new BlockException(ErrorCode.TooLarge, $"The bitmap '{name}' would be too large for the image '{image}': give it a greater granularity", image);
        }

        headers.Header.WithExtension(HeaderExtensionTypes.Bitmaps, new byte[BitmapsExtension.Length]).ToBytes(); // fits in a cluster
        var entry = NewEntry(granularity) with { NameLength = (ushort)Encoding.UTF8.GetByteCount(name) };
        if (bitmaps.Count >= BitmapsExtension.MaxBitmaps
            || bitmaps.Sum(b => b.Entry.Fixed.Length) + entry.Length > BitmapsExtension.MaxDirectoryBytes)
        {
            throw new BlockException(ErrorCode.TooLarge, $"The image '{image}' has as many bitmaps as it can have", image);
        }
    }
}
