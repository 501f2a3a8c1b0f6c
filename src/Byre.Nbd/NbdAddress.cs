using System.Globalization;
using Byre.Nbd.Protocol;

namespace Byre.Nbd;

/// <summary>Where a server listens: a TCP port of a host, or a Unix domain socket.</summary>
public sealed record NbdAddress
{
    private NbdAddress()
    {
    }

    /// <summary>The host's name or address; empty for a Unix domain socket.</summary>
    public string Host { get; private init; } = "";

    /// <summary>The TCP port.</summary>
    public int Port { get; private init; } = NbdLimits.DefaultPort;

    /// <summary>The path of a Unix domain socket; a name of the abstract namespace begins with NUL. Null for TCP.</summary>
    public string? SocketPath { get; private init; }

    /// <summary>It is a Unix domain socket.</summary>
    public bool IsUnix => SocketPath is not null;

    /// <summary>A TCP port.</summary>
    /// <param name="host">A host name, or an IPv4 or IPv6 address without brackets.</param>
    /// <param name="port">1 to 65535.</param>
    public static NbdAddress Tcp(string host, int port = NbdLimits.DefaultPort)
    {
        ArgumentException.ThrowIfNullOrEmpty(host);
        ArgumentOutOfRangeException.ThrowIfLessThan(port, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, ushort.MaxValue);
        return new NbdAddress { Host = host, Port = port };
    }

    /// <summary>A Unix domain socket.</summary>
    public static NbdAddress Unix(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return new NbdAddress { SocketPath = path };
    }

    /// <summary>"HOST:PORT", with brackets around an IPv6 address, or the path.</summary>
    public override string ToString() => SocketPath is { } path
        ? path.Replace('\0', '@')
        : string.Create(CultureInfo.InvariantCulture, $"{(Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host)}:{Port}");
}
