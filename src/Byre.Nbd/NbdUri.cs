using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Unicode;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd;

/// <summary>
/// An export's URI: nbd://HOST[:PORT]/EXPORT, nbds://..., nbd+unix:///EXPORT?socket=PATH, nbds+unix://... (the NBD project's URI
/// specification).
/// </summary>
public sealed record NbdUri
{
    /// <summary>Where the server listens.</summary>
    public required NbdAddress Address { get; init; }

    /// <summary>The export's name, empty for the default export.</summary>
    public string ExportName { get; init; } = "";

    /// <summary>The connection must be secured with TLS.</summary>
    public bool IsSecure { get; init; }

    /// <summary>The user name before the host, for TLS with pre-shared keys; or null.</summary>
    public string? UserName { get; init; }

    /// <summary>The query "tls-type": anon, x509 or psk; or null.</summary>
    public string? TlsType { get; init; }

    /// <summary>The query "tls-hostname": the name the server's certificate is for; or null.</summary>
    public string? TlsHostName { get; init; }

    /// <summary>The query "tls-verify-peer"; null where it is not there.</summary>
    public bool? TlsVerifyPeer { get; init; }

    /// <summary>The query "tls-certificates": a directory with certificates; or null.</summary>
    public string? TlsCertificates { get; init; }

    /// <summary>The query "tls-psk-file": a file with pre-shared keys; or null.</summary>
    public string? TlsKeyFile { get; init; }

    /// <summary>Whether a name begins as one of these URIs does.</summary>
    public static bool IsUri(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return SchemeOf(name) is not null;
    }

    /// <summary>Reads a URI.</summary>
    /// <param name="text">The URI.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it is none, or says something that is not known.</exception>
    public static NbdUri Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var scheme = SchemeOf(text) ?? throw Bad(
            text,
            text.StartsWith("nbd+vsock:", StringComparison.Ordinal) || text.StartsWith("nbds+vsock:", StringComparison.Ordinal)
                ? "vsock sockets are not supported, only TCP and Unix domain sockets"
                : "it begins with none of nbd://, nbds://, nbd+unix://, nbds+unix://");
        var rest = text[(scheme.Length + 3)..];
        if (rest.Contains('#', StringComparison.Ordinal))
        {
            throw Bad(text, "it has a fragment ('#' is written %23)");
        }

        var queryAt = rest.IndexOf('?', StringComparison.Ordinal);
        var query = queryAt < 0 ? "" : rest[(queryAt + 1)..];
        rest = queryAt < 0 ? rest : rest[..queryAt];
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        var authority = slash < 0 ? rest : rest[..slash];
        var export = slash < 0 ? "" : Decode(text, rest[(slash + 1)..]);
        if (Encoding.UTF8.GetByteCount(export) > NbdLimits.MaxString)
        {
            throw Bad(text[..40], $"the export's name is longer than {NbdLimits.MaxString} bytes");
        }

        var isUnix = scheme.EndsWith("+unix", StringComparison.Ordinal);
        var at = authority.LastIndexOf('@');
        var user = at < 0 ? null : Decode(text, authority[..at]);
        var host = authority[(at + 1)..];
        var result = new NbdUri
        {
            Address = isUnix ? NbdAddress.Unix("/") : TcpOf(text, host),
            ExportName = export,
            IsSecure = scheme.StartsWith("nbds", StringComparison.Ordinal),
            UserName = user,
        };
        if (isUnix && host.Length > 0)
        {
            throw Bad(text, "a Unix domain socket has no host: three slashes follow the colon");
        }

        return WithQuery(text, result, query, isUnix);
    }

    /// <summary>The URI.</summary>
    public override string ToString()
    {
        var text = new StringBuilder(IsSecure ? "nbds" : "nbd");
        text.Append(Address.IsUnix ? "+unix://" : "://");
        if (UserName is not null)
        {
            text.Append(Uri.EscapeDataString(UserName)).Append('@');
        }

        if (!Address.IsUnix)
        {
            text.Append(Address.Host.Contains(':', StringComparison.Ordinal) ? $"[{Address.Host}]" : Uri.EscapeDataString(Address.Host));
            text.Append(Address.Port == NbdLimits.DefaultPort ? "" : string.Create(CultureInfo.InvariantCulture, $":{Address.Port}"));
        }

        text.Append(ExportName.Length > 0 || Address.IsUnix ? "/" : "").Append(EscapePath(ExportName));
        var separator = '?';
        Add("socket", Address.SocketPath is { } path ? EscapePath(path) : null);
        Add("tls-type", TlsType);
        Add("tls-hostname", TlsHostName is { } name ? Uri.EscapeDataString(name) : null);
        Add("tls-verify-peer", TlsVerifyPeer is { } verifies ? (verifies ? "1" : "0") : null);
        Add("tls-certificates", TlsCertificates is { } directory ? EscapePath(directory) : null);
        Add("tls-psk-file", TlsKeyFile is { } file ? EscapePath(file) : null);
        return text.ToString();

        void Add(string key, string? value)
        {
            if (value is not null)
            {
                text.Append(separator).Append(key).Append('=').Append(value);
                separator = '&';
            }
        }
    }

    private static string? SchemeOf(string name)
    {
        foreach (var scheme in (ReadOnlySpan<string>)["nbd", "nbds", "nbd+unix", "nbds+unix"])
        {
            if (name.Length >= scheme.Length + 3 && name.StartsWith(scheme, StringComparison.Ordinal)
                && name.AsSpan(scheme.Length, 3) is "://")
            {
                return scheme;
            }
        }

        return null;
    }

    private static NbdAddress TcpOf(string text, string host)
    {
        var portAt = host.LastIndexOf(':');
        if (host.StartsWith('['))
        {
            var end = host.IndexOf(']', StringComparison.Ordinal);
            if (end < 0 || (end + 1 < host.Length && host[end + 1] != ':'))
            {
                throw Bad(text, "the IPv6 address has no end");
            }

            portAt = end + 1 < host.Length ? end + 1 : -1;
        }

        var port = NbdLimits.DefaultPort;
        if (portAt >= 0)
        {
            var digits = host[(portAt + 1)..];
            if (digits.Length > 0 && (!int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out port) || port is < 1 or > ushort.MaxValue))
            {
                throw Bad(text, $"'{digits}' is no port");
            }

            host = host[..portAt];
        }

        if (host.StartsWith('['))
        {
            host = host[1..^1];
            return IPAddress.TryParse(host, out _) ? NbdAddress.Tcp(host, port) : throw Bad(text, $"'{host}' is no IPv6 address");
        }

        host = Decode(text, host);
        if (host.Contains(':', StringComparison.Ordinal))
        {
            throw Bad(text, "an IPv6 address stands in brackets");
        }

        return NbdAddress.Tcp(host.Length == 0 ? "localhost" : host, port);
    }

    private static NbdUri WithQuery(string text, NbdUri uri, string query, bool isUnix)
    {
        var hasSocket = false;
        foreach (var part in query.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            var key = equals < 0 ? part : part[..equals];
            var value = equals < 0 ? "" : Decode(text, part[(equals + 1)..], allowsNul: key == "socket");
            switch (key)
            {
                case "socket" when isUnix && value.Length == 0:
                    throw Bad(text, "'socket=' names no path");
                case "socket" when isUnix:
                    uri = uri with { Address = NbdAddress.Unix(value) };
                    hasSocket = true;
                    break;
                case "tls-type" when value is "anon" or "x509" or "psk":
                    uri = uri with { TlsType = value };
                    break;
                case "tls-hostname":
                    uri = uri with { TlsHostName = value };
                    break;
                case "tls-verify-peer" when value is "0" or "1" or "true" or "false":
                    uri = uri with { TlsVerifyPeer = value is "1" or "true" };
                    break;
                case "tls-certificates" or "tls-psk-file" when value.Length == 0:
                    throw Bad(text, $"'{key}=' names no file");
                case "tls-certificates":
                    uri = uri with { TlsCertificates = value };
                    break;
                case "tls-psk-file":
                    uri = uri with { TlsKeyFile = value };
                    break;
                default:
                    throw Bad(text, $"'{part}' is not known");
            }
        }

        if (uri is { TlsType: "x509", TlsKeyFile: not null })
        {
            throw Bad(text, "a file of pre-shared keys does not go with tls-type=x509");
        }

        return hasSocket || !isUnix ? uri : throw Bad(text, "'?socket=PATH' is missing");
    }

    private static string EscapePath(string text) => Uri.EscapeDataString(text).Replace("%2F", "/", StringComparison.Ordinal);

    private static string Decode(string uri, string text, bool allowsNul = false)
    {
        var decoded = Unescape(text) ?? throw Bad(uri, "'%' is followed by two hexadecimal digits (and stands for itself as %25), and the bytes make text in UTF-8");
        return decoded.Contains('\0', StringComparison.Ordinal) && !allowsNul ? throw Bad(uri, "it holds a NUL character") : decoded;
    }

    /// <summary>Text without its escapes; null where one is not whole, or they make no text.</summary>
    private static string? Unescape(string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text).AsSpan();
        var length = 0;
        for (var i = 0; i < bytes.Length; i++)
        {
            if (bytes[i] != '%')
            {
                bytes[length++] = bytes[i];
            }
            else if (i + 2 < bytes.Length && Convert.FromHexString(bytes.Slice(i + 1, 2), bytes[length..], out _, out _) == OperationStatus.Done)
            {
                length++;
                i += 2;
            }
            else
            {
                return null;
            }
        }

        return Utf8.IsValid(bytes[..length]) ? Encoding.UTF8.GetString(bytes[..length]) : null;
    }

    private static BlockException Bad(string uri, string why) => new(ErrorCode.Invalid, $"'{uri}' is no URI of an NBD export: {why}");
}
