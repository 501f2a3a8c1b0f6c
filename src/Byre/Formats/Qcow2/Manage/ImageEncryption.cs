using Byre.Crypto;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Data;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>The encryption of an image that is open, with its key.</summary>
internal sealed class ImageEncryption : IDisposable
{
    private const int OldKeyBytes = 16;

    private readonly SectorCrypt? own; // of the old encryption

    private ImageEncryption(LuksVolume? volume, SectorCrypt? own)
    {
        Volume = volume;
        this.own = own;
    }

    /// <summary>The LUKS volume inside of the image; null with the old encryption.</summary>
    public LuksVolume? Volume { get; }

    /// <summary>Encrypts and decrypts.</summary>
    public SectorCrypt Crypt => Volume?.Crypt ?? own!;

    /// <summary>Unlocks the image.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <param name="options">Hold the passphrase.</param>
    /// <returns>Null where the image is not encrypted, or is opened to be checked and no passphrase is given.</returns>
    /// <exception cref="BlockException">There is no passphrase, it is wrong, or the LUKS header is not valid.</exception>
    public static async ValueTask<ImageEncryption?> OpenAsync(BlockEdge file, Qcow2Header header, Qcow2OpenOptions options)
    {
        if (header.CryptMethod == EncryptionHeader.None)
        {
            return null;
        }

        var area = EncryptionHeader.AreaOf(file, header);
        if (options.Passphrase is not { } passphrase)
        {
            return options.ForCheck ? null
                : throw new BlockException(ErrorCode.Invalid, "It is encrypted, and 'encrypt.key-secret' names no secret with its passphrase", file.Node.FileName);
        }

        return area is not null
            ? new ImageEncryption(await LuksVolume.UnlockAsync(area, passphrase).ConfigureAwait(false), null)
            : new ImageEncryption(null, OldCrypt(passphrase));
    }

    /// <summary>Unlocks the image, and opens what belongs to it; if that fails the key is overwritten.</summary>
    public static async ValueTask<T> OpenWithAsync<T>(
        BlockEdge file, Qcow2Header header, Qcow2OpenOptions options, Func<ImageEncryption?, ValueTask<T>> open)
    {
        var encryption = await OpenAsync(file, header, options).ConfigureAwait(false);
        try
        {
            return await open(encryption).ConfigureAwait(false);
        }
        catch
        {
            encryption?.Dispose();
            throw;
        }
    }

    /// <summary>The guest data of an image, encrypted or not.</summary>
    /// <param name="edge">The file that stores it.</param>
    /// <param name="header">The image's header.</param>
    /// <param name="encryption">The key; null where the image is not encrypted, or was opened without its passphrase.</param>
    public static DataClusters DataOf(BlockEdge edge, Qcow2Header header, ImageEncryption? encryption) => new(
        edge,
        header.CryptMethod == EncryptionHeader.None ? null : new EncryptedClusters(edge, encryption?.Crypt, header.CryptMethod == EncryptionHeader.Aes));

    /// <summary>Adds or erases passphrases.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: there are no key slots; or as <see cref="IKeySlots"/>.</exception>
    public static ValueTask ChangeSlotsAsync(ImageEncryption? encryption, string name, KeySlotChange change, bool force) =>
        encryption?.Volume is { } volume ? volume.ChangeSlotsAsync(change, force)
            : throw new BlockException(ErrorCode.NotSupported, $"The image '{name}' has no key slots: it is not encrypted by LUKS", name);

    /// <inheritdoc/>
    public void Dispose()
    {
        Volume?.Dispose();
        own?.Dispose();
    }

    /// <summary>The old encryption: the passphrase itself, cut or filled up with zeroes, is the key.</summary>
    private static SectorCrypt OldCrypt(SecretBytes passphrase)
    {
        var key = new SecretBytes(OldKeyBytes);
        passphrase.Span[..Math.Min(passphrase.Length, OldKeyBytes)].CopyTo(key.Span);
        return new SectorCrypt(new CipherSpec(CipherKind.Aes128, ModeKind.Cbc, IvKind.Plain64, null), key);
    }
}
