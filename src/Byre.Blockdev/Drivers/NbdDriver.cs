using System.Globalization;
using System.Text;
using Byre.Blockdev.Open;
using Byre.Blockdev.Options;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>The driver "nbd": an export of an NBD server.</summary>
internal sealed class NbdDriver : IBlockDriver
{
    private const int MostConnections = 16;

    /// <inheritdoc/>
    public string Name => "nbd";

    /// <inheritdoc/>
    public bool IsFormat => false;

    /// <inheritdoc/>
    public async ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        var options = opening.Options;
        var given = options.AsJson(static key =>
            key is "path" or "host" or "port" or "export" or "tls-creds" or "tls-hostname" || key.StartsWith("server.", StringComparison.Ordinal));
        var uri = options.Take("filename") is { } name ? NbdNames.Parse(name) : null;
        var address = AddressOf(options, uri);
        var export = TakeExport(options, uri);
        var credentials = options.Take("tls-creds");
        var hostName = options.Take("tls-hostname") ?? uri?.TlsHostName;
        var reconnect = TakeSeconds(options, "reconnect-delay");
        var open = TakeSeconds(options, "open-timeout");
        var context = options.Take("x-dirty-bitmap");
        var connections = options.TakeNumber("connections");
        options.CheckEmpty(Name);
        if (uri is not null)
        {
            AddOptionsOf(given, address, export);
        }

        if (connections is < 1 or > MostConnections)
        {
            throw new BlockException(ErrorCode.Invalid, $"connections is a number from 1 to {MostConnections}");
        }

        if (context is { Length: 0 } || (context is not null && Encoding.UTF8.GetByteCount(context) > NbdLimits.MaxString))
        {
            throw new BlockException(ErrorCode.Invalid, $"x-dirty-bitmap names a metadata context, with 1 to {NbdLimits.MaxString} bytes");
        }

        var own = credentials is null && uri is not null ? NbdUriSecurity.For(uri) : null;
        try
        {
            var security = credentials is null ? own : opening.Session.TlsClient(credentials);
            var fileName = NbdNames.Of(address, export, uri is { IsSecure: true });
            opening.Guard.Enter(fileName, fileName);
            var node = await NbdNode.OpenAsync(new NbdNodeOptions
            {
                Client = new NbdClientOptions
                {
                    Address = address,
                    ServerTitle = opening.Session.ServerTitle,
                    ExportName = export ?? "",
                    Security = security,
                    TlsHostName = hostName,
                },
                FileName = fileName,
                Given = given,
                ReadOnly = opening.Settings.ReadOnly,
                AutoReadOnly = opening.Settings.AutoReadOnly,
                Connections = (int?)connections,
                ReconnectDelay = reconnect,
                OpenTimeout = open,
                AllocationContext = context,
                MetaContexts = opening.Session.LayersBehind && context is null ? [NbdContextNames.AllocationDepth] : [],
                Blocking = opening.Session.BlockingIo,
                Owned = own,
            }).ConfigureAwait(false);
            own = null;
            return opening.Finish(node);
        }
        finally
        {
            own?.Dispose();
        }
    }

    /// <summary>Adds the options that say what a file name says.</summary>
    private static void AddOptionsOf(Dictionary<string, string> given, NbdAddress address, string? export)
    {
        if (address.SocketPath is { } path)
        {
            given["server.type"] = "\"unix\"";
            given["server.path"] = JsonString.Quoted(path);
        }
        else
        {
            given["server.type"] = "\"inet\"";
            given["server.host"] = JsonString.Quoted(address.Host);
            given["server.port"] = string.Create(CultureInfo.InvariantCulture, $"\"{address.Port}\"");
        }

        if (export is not null)
        {
            given["export"] = JsonString.Quoted(export);
        }
    }

    private static string? TakeExport(OptionSet options, NbdUri? uri)
    {
        var given = options.Take("export");
        if (given is not null && uri is { ExportName.Length: > 0 } && given != uri.ExportName)
        {
            throw new BlockException(ErrorCode.Invalid, "The export is named twice: by the file name, and by the option export");
        }

        var export = given ?? (uri is { ExportName.Length: > 0 } ? uri.ExportName : null);
        return export is not null && Encoding.UTF8.GetByteCount(export) > NbdLimits.MaxString
            ? throw new BlockException(ErrorCode.Invalid, $"The name of an export has at most {NbdLimits.MaxString} bytes")
            : export;
    }

    private static TimeSpan TakeSeconds(OptionSet options, string key)
    {
        var seconds = options.TakeNumber(key) ?? 0;
        return seconds <= uint.MaxValue / 1000
            ? TimeSpan.FromSeconds(seconds)
            : throw new BlockException(ErrorCode.Invalid, $"{key} may be at most {uint.MaxValue / 1000} seconds");
    }

    /// <summary>The server: named by the file name, by "server.*", or by "path" or "host" and "port".</summary>
    private static NbdAddress AddressOf(OptionSet options, NbdUri? uri)
    {
        var server = new OptionSet(options.TakeBelow("server"));
        var path = options.Take("path");
        var host = options.Take("host");
        var port = options.Take("port");
        var ways = (uri is null ? 0 : 1) + (server.IsEmpty ? 0 : 1) + (path is null ? 0 : 1) + (host is null && port is null ? 0 : 1);
        if (ways != 1)
        {
            throw new BlockException(ErrorCode.Invalid, ways == 0
                ? "The nbd driver needs a server: a file name, server.type and its options, path, or host and port"
                : "The NBD server is named in several ways: by one of a file name, server.*, path, and host with port");
        }

        return uri is not null ? uri.Address
            : path is not null ? UnixOf(path)
            : server.IsEmpty ? TcpOf(host, port)
            : ServerOf(server);
    }

    private static NbdAddress ServerOf(OptionSet server)
    {
        var type = server.Take("type") ?? throw new BlockException(ErrorCode.Invalid, "The NBD server needs its type: server.type=inet or server.type=unix");
        NbdAddress address;
        switch (type)
        {
            case "inet":
                address = TcpOf(
                    server.Take("host") ?? throw new BlockException(ErrorCode.Invalid, "The NBD server needs its host: server.host"),
                    server.Take("port") ?? throw new BlockException(ErrorCode.Invalid, "The NBD server needs its port: server.port"));

                // Checked, and left to the system.
                server.TakeSwitch("numeric");
                server.TakeSwitch("ipv4");
                server.TakeSwitch("ipv6");
                server.TakeSwitch("keep-alive");
                break;
            case "unix":
                var path = server.Take("path") ?? throw new BlockException(ErrorCode.Invalid, "The NBD server needs the path of its socket: server.path");
                var isAbstract = server.TakeSwitch("abstract") ?? false;
                server.TakeSwitch("tight");
                address = UnixOf(isAbstract ? "\0" + path : path);
                break;
            default:
                throw new BlockException(ErrorCode.NotSupported, $"'{type}' is not a type of NBD servers that is supported (inet, unix)");
        }

        server.CheckEmpty("nbd server");
        return address;
    }

    private static NbdAddress UnixOf(string path) =>
        path.Length > 0 ? NbdAddress.Unix(path) : throw new BlockException(ErrorCode.Invalid, "The path of the NBD server's socket is empty");

    private static NbdAddress TcpOf(string? host, string? port)
    {
        if (string.IsNullOrEmpty(host))
        {
            throw new BlockException(ErrorCode.Invalid, "The NBD server needs a host");
        }

        var number = NbdLimits.DefaultPort;
        return port is null || (int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number is >= 1 and <= ushort.MaxValue)
            ? NbdAddress.Tcp(host, number)
            : throw new BlockException(ErrorCode.Invalid, $"'{port}' is no port of an NBD server: a number from 1 to {ushort.MaxValue}");
    }
}
