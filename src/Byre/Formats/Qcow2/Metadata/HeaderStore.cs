using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// The image's header, and its changes: each is one write of the first sector, which keeps everything it does not know.
/// </summary>
internal sealed class HeaderStore
{
    private const int Sector = 512;

    private readonly BlockEdge file;
    private readonly byte[] sector;
    private readonly AsyncMutex mutex = new();
    private Qcow2Header header;
    private bool isCorrupt;
    private bool isUncertain; // a failed update may have reached the disk all the same
    private int extensionsEnd;

    private HeaderStore(BlockEdge file, Qcow2Header header, byte[] sector)
    {
        this.file = file;
        this.header = header;
        this.sector = sector;
        isCorrupt = (header.Incompatible & IncompatibleFeatures.Corrupt) != 0;
        extensionsEnd = header.HeaderLength + header.Extensions.Sum(e => 8 + ((e.Data.Length + 7) & ~7)) + 8;
    }

    /// <summary>The header as it is now.</summary>
    public Qcow2Header Header => Volatile.Read(ref header);

    /// <summary>Metadata contradicted itself: nothing is written any more.</summary>
    public bool IsCorrupt => Volatile.Read(ref isCorrupt);

    /// <summary>The image may be written.</summary>
    public bool IsWritable { get; init; }

    /// <summary>Reads what is to be kept of the header's sector.</summary>
    public static async ValueTask<HeaderStore> OpenAsync(BlockEdge file, Qcow2Header header, bool writable)
    {
        var sector = new byte[Sector];
        await PaddedReads.ReadAsync(file, 0, sector).ConfigureAwait(false);
        return new HeaderStore(file, header, sector) { IsWritable = writable };
    }

    /// <summary>Changes the fixed fields. It is on stable storage when this completes.</summary>
    public async ValueTask UpdateAsync(Func<Qcow2Header, Qcow2Header> change)
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            var next = change(header);
            Put(next);
            try
            {
                await file.WriteAsync(0, sector).ConfigureAwait(false);
                await file.FlushAsync().ConfigureAwait(false);
            }
            catch
            {
                Put(header);
                Volatile.Write(ref isUncertain, true);
                throw;
            }

            Volatile.Write(ref header, next);
            Volatile.Write(ref isUncertain, false);
        }
        finally
        {
            mutex.Release();
        }
    }

    /// <summary>
    /// Makes the disk agree with <see cref="Header"/> again where an update failed, which may have been done or not. Nothing
    /// that the header leads to is written before.
    /// </summary>
    public ValueTask SettleAsync() => Volatile.Read(ref isUncertain) ? UpdateAsync(static h => h) : default;

    /// <summary>Sets or clears an incompatible feature bit where it is not so yet; as <see cref="RewriteAsync"/>.</summary>
    public ValueTask MarkAsync(IncompatibleFeatures bit, bool isSet) => Header.Incompatible.HasFlag(bit) == isSet
        ? default
        : RewriteAsync(h => h with { Incompatible = isSet ? h.Incompatible | bit : h.Incompatible & ~bit });

    /// <summary>
    /// Changes anything in the header: fixed fields, extensions, the backing file's name. It is on stable storage when this
    /// completes, and one write of the first sector makes the change: whatever is interrupted, the header is the old or the
    /// new one (see <see cref="HeaderRewrite"/>).
    /// </summary>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: the header would not fit in a cluster; nothing is changed. Another failure: the file has
    /// the old or the new header, and <see cref="Header"/> is the old one, which <see cref="SettleAsync"/> writes again; what
    /// either of them names must be left alone until then.
    /// </exception>
    public async ValueTask RewriteAsync(Func<Qcow2Header, Qcow2Header> change)
    {
        await mutex.WaitAsync().ConfigureAwait(false);
        try
        {
            var next = change(header);
            next = next with { HeaderLength = HeaderWriter.LengthOf(next) };
            var rewrite = HeaderRewrite.Plan(sector, extensionsEnd, next);
            try
            {
                await rewrite.PrepareAsync(file).ConfigureAwait(false);
                await rewrite.SwitchAsync(file).ConfigureAwait(false);
            }
            catch
            {
                Volatile.Write(ref isUncertain, true);
                throw;
            }

            rewrite.Switched.AsSpan(0, Sector).CopyTo(sector);
            extensionsEnd = rewrite.ExtensionsEnd;
            Volatile.Write(ref header, next);
            Volatile.Write(ref isUncertain, true); // until the rest is written too
            try
            {
                await rewrite.CompleteAsync(file).ConfigureAwait(false);
                rewrite.Completed.AsSpan(0, Sector).CopyTo(sector);
                Volatile.Write(ref isUncertain, false);
            }
            catch (BlockException)
            {
                // The change is made: only names of features are missing. The next update settles which sector it is.
            }
        }
        finally
        {
            mutex.Release();
        }
    }

    /// <summary>Metadata contradicts itself: marks the image, so that nobody writes to it before it is repaired.</summary>
    /// <returns>The failure to throw.</returns>
    public async ValueTask<BlockException> CorruptAsync(string what, long? offset = null)
    {
        var name = file.Node.FileName;
        if (IsWritable && !IsCorrupt)
        {
            Volatile.Write(ref isCorrupt, true);
            if (header.Version >= 3)
            {
                try
                {
                    await UpdateAsync(h => h with { Incompatible = h.Incompatible | IncompatibleFeatures.Corrupt }).ConfigureAwait(false);
                }
                catch (BlockException)
                {
                    // What was found is the better message; the image refuses writes in any case.
                }
            }
        }

        return new BlockException(ErrorCode.Corrupt, $"The image '{name}' is corrupt: {what}", name, offset);
    }

    /// <summary>Throws where the image must not be written.</summary>
    public void ThrowIfCorrupt()
    {
        if (IsCorrupt)
        {
            var name = file.Node.FileName;
            throw new BlockException(ErrorCode.Io, $"The image '{name}' is marked corrupt; it must be repaired before it can be written", name);
        }
    }

    private void Put(Qcow2Header h) => HeaderFields.WriteChanging(h, sector);
}
