using System.Globalization;
using System.Text;
using Byre.Nbd;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>
/// The names of NBD exports: URIs (<see cref="NbdUri"/>; also nbd+tcp://, as QEMU has it) and QEMU's older forms
/// "nbd:HOST:PORT" and "nbd:unix:PATH", with ":exportname=NAME" at the end if wanted.
/// </summary>
public static class NbdNames
{
    private const string Old = "nbd:";
    private const string OldUnix = "unix:";
    private const string OldExport = ":exportname=";
    private const string TcpScheme = "nbd+tcp://";

    /// <summary>What stands before the colon of such a name.</summary>
    public static bool IsProtocol(string? protocol) => protocol is "nbd" or "nbd+tcp" or "nbd+unix" or "nbds" or "nbds+unix";

    /// <summary>Whether a name is one of an NBD export.</summary>
    public static bool IsNbd(string name) => IsProtocol(FileNames.ProtocolOf(name));

    /// <summary>Reads a name.</summary>
    /// <param name="name">The name.</param>
    /// <returns>The older forms as a URI says them.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it is none.</exception>
    public static NbdUri Parse(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.StartsWith(TcpScheme, StringComparison.Ordinal))
        {
            return NbdUri.Parse("nbd://" + name[TcpScheme.Length..]);
        }

        if (NbdUri.IsUri(name))
        {
            return NbdUri.Parse(name);
        }

        if (!name.StartsWith(Old, StringComparison.Ordinal))
        {
            throw Bad(name, "it is no URI of one of the schemes nbd, nbds, nbd+tcp, nbd+unix, nbds+unix");
        }

        var rest = name[Old.Length..];
        var export = "";
        var at = rest.IndexOf(OldExport, StringComparison.Ordinal);
        if (at >= 0)
        {
            export = rest[(at + OldExport.Length)..];
            rest = rest[..at];
            if (export.Length == 0 || Encoding.UTF8.GetByteCount(export) > NbdLimits.MaxString)
            {
                throw Bad(name, $"the export's name has 1 to {NbdLimits.MaxString} bytes");
            }
        }

        return new NbdUri { Address = OldAddress(name, rest), ExportName = export };
    }

    /// <summary>The name by which tools show an export, as QEMU's do: with the port, and without a slash where no export is named.</summary>
    /// <param name="address">The server.</param>
    /// <param name="export">The export; null where none is named.</param>
    /// <param name="isSecure">The connection is secured.</param>
    public static string Of(NbdAddress address, string? export, bool isSecure)
    {
        ArgumentNullException.ThrowIfNull(address);
        var scheme = isSecure ? "nbds" : "nbd";
        var path = export is null ? "" : "/" + Escape(export);
        return address.SocketPath is { } socket
            ? $"{scheme}+unix://{path}?socket={Escape(socket)}"
            : $"{scheme}://{address}{path}";
    }

    private static NbdAddress OldAddress(string name, string rest)
    {
        if (rest.StartsWith(OldUnix, StringComparison.Ordinal))
        {
            return rest.Length > OldUnix.Length ? NbdAddress.Unix(rest[OldUnix.Length..]) : throw Bad(name, "the path of the socket is empty");
        }

        var colon = rest.LastIndexOf(':');
        if (colon < 0 || !int.TryParse(rest.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port is < 1 or > ushort.MaxValue)
        {
            throw Bad(name, "it needs a host and a port: nbd:HOST:PORT, or nbd:unix:PATH");
        }

        var host = rest[..colon];
        host = host.StartsWith('[') && host.EndsWith(']') ? host[1..^1] : host;
        return NbdAddress.Tcp(host.Length == 0 ? "localhost" : host, port);
    }

    /// <summary>Escapes what would make it another name.</summary>
    private static string Escape(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (var c in text)
        {
            result.Append(char.IsControl(c) || c is '%' or '?' or '#' or '&' ? Uri.EscapeDataString(c.ToString()) : c.ToString());
        }

        return result.ToString();
    }

    private static BlockException Bad(string name, string why) => new(ErrorCode.Invalid, $"'{name}' names no NBD export: {why}", name);
}
