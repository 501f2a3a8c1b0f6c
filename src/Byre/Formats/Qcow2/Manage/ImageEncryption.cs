using Byre.Crypto;
using Byre.Formats.Luks;
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
                : throw new BlockException(ErrorCode.Invalid, "Parameter 'encrypt.key-secret' is required for cipher", file.Node.FileName);
        }

        return area is not null
            ? new ImageEncryption(await LuksVolume.UnlockAsync(area, passphrase).ConfigureAwait(false), null)
            : new ImageEncryption(null, OldCrypt(passphrase));
    }

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
