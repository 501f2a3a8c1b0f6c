using Byre.Crypto;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Formats.Luks;

/// <summary>
/// The luks format: a file that holds a LUKS header of version 1, and behind it the disk, encrypted sector by sector. What was
/// never written reads as whatever the ciphertext decrypts to.
/// </summary>
public sealed class LuksNode : BlockNode, IKeySlots
{
    private const int Sector = SectorCrypt.Sector;
    private const int Piece = 1 << 20;

    private static readonly BlockLimits SectorLimits = new() { RequestAlignment = Sector, MaxTransfer = 1 << 30, OptimalTransfer = Piece };

    private readonly BlockEdge file;
    private readonly LuksVolume volume;
    private readonly BlockEdge[] children;
    private readonly long payload;
    private readonly bool readOnly;

    private LuksNode(BlockEdge file, LuksVolume volume, bool readOnly)
    {
        this.file = file;
        this.volume = volume;
        this.readOnly = readOnly;
        payload = volume.Header.PayloadOffset;
        children = [file];
        file.Parent = this;
    }

    /// <inheritdoc/>
    public override string DriverName => "luks";

    /// <summary>The header as it is now.</summary>
    public LuksHeader Header => volume.Header;

    /// <inheritdoc/>
    public override long Length => Math.Max(0, file.Length - payload) + Sector - 1 & -Sector;

    /// <inheritdoc/>
    public override bool IsReadOnly => readOnly || file.Node.IsReadOnly;

    /// <inheritdoc/>
    public override BlockLimits Limits => SectorLimits;

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags => WriteFlags.Fua | WriteFlags.Unchanged;

    /// <inheritdoc/>
    public override IReadOnlyList<BlockEdge> Children => children;

    /// <summary>Opens a volume. The edge belongs to the node once it is open; if opening fails the caller disposes it.</summary>
    /// <param name="file">The file.</param>
    /// <param name="passphrase">The passphrase of one of the key slots; not needed any more afterwards.</param>
    /// <param name="readOnly">Nothing is written.</param>
    /// <exception cref="BlockException">As <see cref="LuksVolume.UnlockAsync"/>, or the file is shorter than its header.</exception>
    public static async ValueTask<LuksNode> OpenAsync(BlockEdge file, SecretBytes passphrase, bool readOnly)
    {
        ArgumentNullException.ThrowIfNull(file);
        var volume = await LuksVolume.UnlockAsync(await AreaOfAsync(file).ConfigureAwait(false), passphrase).ConfigureAwait(false);
        if (volume.Header.PayloadOffset > file.Length)
        {
            volume.Dispose();
            throw LuksHeader.Failure(file.Node.FileName, ErrorCode.Corrupt, "the file ends before the encrypted disk begins");
        }

        return new LuksNode(file, volume, readOnly);
    }

    /// <summary>Where the header of a volume in a file lies: from its beginning up to the encrypted disk.</summary>
    /// <exception cref="BlockException">It is no LUKS volume, or its header is not valid.</exception>
    public static async ValueTask<LuksArea> AreaOfAsync(BlockEdge file)
    {
        ArgumentNullException.ThrowIfNull(file);
        var header = await new LuksArea(file, 0, LuksHeader.MaterialStart).ReadHeaderAsync().ConfigureAwait(false);
        return new LuksArea(file, 0, header.PayloadOffset);
    }

    /// <summary>Makes a volume. What the file held before is lost; the header is written last, so that before there is no volume.</summary>
    /// <param name="file">The file; may be written and resized. A device keeps its length.</param>
    /// <param name="size">The length of the disk in bytes; a multiple of 512.</param>
    /// <param name="preallocation">What of the disk's space is allocated: off, falloc or full.</param>
    /// <param name="options">How it is encrypted.</param>
    /// <exception cref="BlockException">As <see cref="LuksFormatter.FormatAsync"/>.</exception>
    public static async ValueTask CreateAsync(BlockEdge file, long size, Preallocation preallocation, LuksCreateOptions options)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(options);
        LuksFormatter.Validate(options);
        var start = options.PayloadOffset;
        if (size > long.MaxValue - start)
        {
            throw new BlockException(ErrorCode.TooLarge, $"A LUKS volume of {size} bytes is too long");
        }

        await file.ResizeAsync(0).ConfigureAwait(false);
        if (file.Length > 0)
        {
            await file.WriteZeroesAsync(0, Math.Min(file.Length, start)).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }
        else
        {
            await file.ResizeAsync(start + size, preallocation).ConfigureAwait(false);
        }

        await LuksFormatter.FormatAsync(new LuksArea(file, 0, start), options).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            var piece = buffer[..Math.Min(buffer.Length, Piece)];
            var there = (int)Math.Clamp(file.Length - payload - offset, 0, piece.Length);
            piece.Span[there..].Clear(); // the last sector may be a part of one
            if (there > 0)
            {
                await file.ReadAsync(payload + offset, piece[..there]).ConfigureAwait(false);
            }

            volume.Crypt.Decrypt(piece.Span, offset);
            offset += piece.Length;
            buffer = buffer[piece.Length..];
        }
    }

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        using var buffer = BufferPool.Rent(Math.Min(data.Length, Piece));
        while (!data.IsEmpty)
        {
            var piece = data[..Math.Min(data.Length, Piece)];
            var encrypted = buffer.Memory[..piece.Length];
            volume.Crypt.Encrypt(piece.Span, encrypted.Span, offset);
            await file.WriteAsync(payload + offset, encrypted, flags).ConfigureAwait(false);
            offset += piece.Length;
            data = data[piece.Length..];
        }
    }

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        extents.Add(new BlockExtent(extents.End, extents.RangeEnd - extents.End, ExtentState.Data, ExtentFlags.None, -1, null, 1));
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask ResizeAsync(long length, Preallocation preallocation) => length > long.MaxValue - payload
        ? throw new BlockException(ErrorCode.TooLarge, $"A LUKS volume of {length} bytes is too long")
        : file.ResizeAsync(payload + length, preallocation);

    /// <inheritdoc/>
    public ValueTask ChangeKeySlotsAsync(KeySlotChange change, bool force) => volume.ChangeSlotsAsync(change, force);

    /// <inheritdoc/>
    public override PermissionSet PermissionsForChild(ChildRole role, PermissionSet parents) =>
        DefaultPermissions.ForFormat(role, parents, !IsReadOnly);

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        try
        {
            await base.DisposeAsync().ConfigureAwait(false);
        }
        finally
        {
            volume.Dispose();
        }
    }
}
