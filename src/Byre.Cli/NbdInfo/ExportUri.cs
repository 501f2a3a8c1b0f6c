using System.Globalization;
using System.Text;
using Byre.Nbd;

namespace Byre.Cli.NbdInfo;

/// <summary>URIs as nbdinfo prints them: with the port, and escaped as libnbd does where that is right.</summary>
internal static class ExportUri
{
    private const string Unreserved = "-_.!~*'()";
    private const string InPath = Unreserved + ";@&=+$,/";
    private const string InQuery = Unreserved + ";@=$,/?:";

    /// <summary>The URI of an export of a server.</summary>
    /// <param name="server">A URI of the server.</param>
    /// <param name="export">The export's name.</param>
    public static string Of(NbdUri server, string export)
    {
        var text = new StringBuilder(server.IsSecure ? "nbds" : "nbd").Append(server.Address.IsUnix ? "+unix://" : "://");
        if (server.UserName is { } user)
        {
            text.Append(Escape(user, Unreserved)).Append('@');
        }

        if (!server.Address.IsUnix)
        {
            var host = server.Address.Host;
            text.Append(host.Contains(':', StringComparison.Ordinal) ? $"[{host}]" : Escape(host, Unreserved));
            text.Append(CultureInfo.InvariantCulture, $":{server.Address.Port}");
        }

        text.Append('/').Append(Escape(export, InPath));
        var separator = '?';
        void Query(string key, string? value)
        {
            if (value is not null)
            {
                text.Append(separator).Append(key).Append('=').Append(Escape(value, InQuery));
                separator = '&';
            }
        }

        Query("socket", server.Address.SocketPath);
        Query("tls-type", server.TlsType);
        Query("tls-hostname", server.TlsHostName);
        Query("tls-verify-peer", server.TlsVerifyPeer is { } verifies ? (verifies ? "1" : "0") : null);
        Query("tls-certificates", server.TlsCertificates);
        Query("tls-psk-file", server.TlsKeyFile);
        return text.ToString();
    }

    private static string Escape(string value, string kept)
    {
        var text = new StringBuilder();
        foreach (var b in Encoding.UTF8.GetBytes(value))
        {
            if (char.IsAsciiLetterOrDigit((char)b) || kept.Contains((char)b, StringComparison.Ordinal))
            {
                text.Append((char)b);
            }
            else
            {
                text.Append(CultureInfo.InvariantCulture, $"%{b:X2}");
            }
        }

        return text.ToString();
    }
}
