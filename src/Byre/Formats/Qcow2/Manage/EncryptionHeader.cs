using System.Buffers.Binary;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Where the LUKS header of an encrypted image lies (qcow2 specification, "Full disk encryption header pointer").</summary>
public static class EncryptionHeader
{
    /// <summary>The number that an image without encryption has for it (header field crypt_method).</summary>
    public const uint None = 0;

    /// <summary>The number of the old encryption by AES-128-CBC.</summary>
    public const uint Aes = 1;

    /// <summary>The number of LUKS.</summary>
    public const uint Luks = 2;

    internal const int ExtensionLength = 16;

    /// <summary>The place of the LUKS header.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="header">Its header.</param>
    /// <returns>Null where the image is not encrypted by LUKS.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: it is, and the extension is missing or cannot be true.</exception>
    public static LuksArea? AreaOf(BlockEdge file, Qcow2Header header)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(header);
        if (header.CryptMethod != Luks)
        {
            return null;
        }

        var (offset, length) = PlaceOf(header, file.Node.FileName);
        return new LuksArea(file, offset, length);
    }

    /// <summary>The extension for a place.</summary>
    internal static HeaderExtension ExtensionFor(long offset, long length)
    {
        var data = new byte[ExtensionLength];
        BinaryPrimitives.WriteInt64BigEndian(data, offset);
        BinaryPrimitives.WriteInt64BigEndian(data.AsSpan(8), length);
        return new HeaderExtension(HeaderExtensionTypes.FullDiskEncryption, data);
    }

    /// <summary>Offset and length in bytes.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: they cannot be true.</exception>
    internal static (long Offset, long Length) PlaceOf(Qcow2Header header, string name) =>
        TryPlaceOf(header, out var offset, out var length) is { } problem
            ? throw HeaderParser.Failure(name, ErrorCode.Corrupt, problem) : (offset, length);

    /// <summary>Offset and length in bytes.</summary>
    /// <returns>What is wrong with them, or null.</returns>
    internal static string? TryPlaceOf(Qcow2Header header, out long offset, out long length)
    {
        (offset, length) = (0, 0);
        if (header.FindExtension(HeaderExtensionTypes.FullDiskEncryption) is not { } extension)
        {
            return "the image is encrypted, and its header does not say where the LUKS header is";
        }

        if (extension.Data.Length != ExtensionLength)
        {
            return $"the header extension of the encryption has {extension.Data.Length} bytes, not {ExtensionLength}";
        }

        offset = BinaryPrimitives.ReadInt64BigEndian(extension.Data.Span);
        length = BinaryPrimitives.ReadInt64BigEndian(extension.Data.Span[8..]);
        return offset <= 0 || (offset & (header.ClusterSize - 1)) != 0 || length <= 0 || length > long.MaxValue - offset - header.ClusterSize
            ? "the place of the LUKS header cannot be right" : null;
    }
}
