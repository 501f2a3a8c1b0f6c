using System.Globalization;
using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Formats.Luks;

/// <summary>What a LUKS header calls ciphers: the family ("aes"), and mode and vector in one text ("cbc-essiv:sha256").</summary>
internal static class LuksNames
{
    /// <summary>The text of mode and vector.</summary>
    public static string ModeOf(CipherSpec spec)
    {
        var text = $"{CryptoNames.NameOf(spec.Mode)}-{CryptoNames.NameOf(spec.Iv)}";
        return spec is { Iv: IvKind.Essiv, IvHash: { } hash } ? $"{text}:{CryptoNames.NameOf(hash)}" : text;
    }

    /// <summary>Puts the names of a header together.</summary>
    /// <param name="family">The cipher's family.</param>
    /// <param name="mode">Mode and vector.</param>
    /// <param name="keyBytes">Bytes of the master key.</param>
    /// <param name="fileName">What messages call the file.</param>
    /// <exception cref="BlockException">A name is not known, or they do not go together.</exception>
    public static CipherSpec CipherOf(string family, string mode, uint keyBytes, string fileName)
    {
        var dash = mode.IndexOf('-', StringComparison.Ordinal);
        var colon = mode.IndexOf(':', StringComparison.Ordinal);
        var modeName = dash < 0 ? mode : mode[..dash];
        var ivName = dash < 0 ? "" : colon > dash ? mode[(dash + 1)..colon] : mode[(dash + 1)..];
        if (CryptoNames.TryParseMode(modeName) is not { } kind
            || (CryptoNames.TryParseIv(ivName) ?? (dash < 0 && kind == ModeKind.Ecb ? IvKind.Plain64 : null)) is not { } iv)
        {
            throw LuksHeader.Failure(fileName, ErrorCode.NotSupported, $"its cipher mode '{LuksHeader.Printable(mode)}' is not known here");
        }

        HashKind? hash = null;
        if (iv == IvKind.Essiv)
        {
            var name = colon > dash ? mode[(colon + 1)..] : "";
            hash = CryptoNames.TryParseHash(name)
                ?? throw LuksHeader.Failure(fileName, ErrorCode.NotSupported, $"the hash '{LuksHeader.Printable(name)}' of its vectors is not known here");
        }

        var half = kind == ModeKind.Xts && keyBytes % 2 == 0 ? keyBytes / 2 : kind == ModeKind.Xts ? 0 : keyBytes;
        if (CryptoNames.FindCipher(family, (int)Math.Min(half, int.MaxValue)) is not { } cipher)
        {
            var bytes = keyBytes.ToString(CultureInfo.InvariantCulture);
            throw LuksHeader.Failure(
                fileName, ErrorCode.NotSupported, $"its cipher '{LuksHeader.Printable(family)}' with a key of {bytes} bytes in the mode {modeName} is not known here");
        }

        var spec = new CipherSpec(cipher, kind, iv, hash);
        try
        {
            spec.Validate();
            return spec;
        }
        catch (BlockException e)
        {
            throw new BlockException(ErrorCode.Corrupt, $"Could not open '{fileName}': {e.Message}", fileName, inner: e);
        }
    }
}
