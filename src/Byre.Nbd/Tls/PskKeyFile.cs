using System.Buffers;
using System.Text;
using Byre.Crypto;
using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>
/// A file of keys that both sides know: a line "USER:KEY" each, the key in hexadecimal digits. GnuTLS, whose format it is, takes
/// what stands between "#" and the colon for a name in hexadecimal digits: so a line that somebody put "#" before is nobody's key.
/// </summary>
internal static class PskKeyFile
{
    /// <summary>OpenSSL takes no longer keys.</summary>
    private const int MostKeyBytes = 256;

    /// <summary>Finds a user's key.</summary>
    /// <param name="path">The file.</param>
    /// <param name="user">The user.</param>
    /// <returns>The key, which the caller disposes; null where the user has none.</returns>
    /// <exception cref="BlockException">The file cannot be read, or the user's line holds no key.</exception>
    public static SecretBytes? Find(string path, string user)
    {
        using var text = TlsFiles.Read(path);
        Span<byte> wanted = Encoding.UTF8.GetBytes(user);
        var rest = (ReadOnlySpan<byte>)text.Span;
        while (!rest.IsEmpty)
        {
            var end = rest.IndexOf((byte)'\n');
            var line = end < 0 ? rest : rest[..end];
            rest = end < 0 ? [] : rest[(end + 1)..];
            var colon = line.IndexOf((byte)':');
            if (colon > 0 && IsName(line[..colon], wanted))
            {
                return Decode(path, user, line[(colon + 1)..].TrimEnd(" \t\r"u8));
            }
        }

        return null;
    }

    private static bool IsName(ReadOnlySpan<byte> name, ReadOnlySpan<byte> wanted)
    {
        if (name[0] != '#')
        {
            return name.SequenceEqual(wanted);
        }

        var digits = name[1..];
        return !wanted.IsEmpty && digits.Length == 2 * wanted.Length
            && Convert.ToHexString(wanted).Equals(Encoding.ASCII.GetString(digits), StringComparison.OrdinalIgnoreCase);
    }

    private static SecretBytes Decode(string path, string user, ReadOnlySpan<byte> digits)
    {
        var key = new SecretBytes(digits.Length / 2);
        if (digits.Length is < 2 or > 2 * MostKeyBytes
            || Convert.FromHexString(digits, key.Span, out _, out _) != OperationStatus.Done)
        {
            key.Dispose();
            throw new BlockException(
                ErrorCode.Invalid, $"The key of '{user}' in '{path}' is no key: it has 2 to {2 * MostKeyBytes} hexadecimal digits, two a byte", path);
        }

        return key;
    }
}
