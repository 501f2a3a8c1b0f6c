using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Byre.Cli.Img;
using Byre.Nbd.Protocol;

namespace Byre.Cli.Serve;

/// <summary>The sockets that a server listens to.</summary>
internal sealed class ServeSockets : IDisposable
{
    private const int MostWaiting = 128;
    private const int FirstHandedOver = 3;

    private readonly List<Socket> sockets = [];
    private readonly List<UnixListener> paths = [];

    private ServeSockets()
    {
    }

    /// <summary>The sockets; whoever listens to them disposes them.</summary>
    public IReadOnlyList<Socket> Sockets => sockets;

    /// <summary>
    /// Refuses what cannot be listened to, as far as that can be told without a socket: before images are opened for nothing.
    /// </summary>
    /// <exception cref="ImgFailure">It cannot; one line.</exception>
    public static void Check(ServeOptions options)
    {
        if (HandedOver() > 0)
        {
            if (options.SocketPath is not null || options.Bind is not null || options.Port is not null || options.SelinuxLabel is not null || options.Device is not null)
            {
                throw new ImgFailure("a socket was handed over (LISTEN_FDS): --socket, --bind, --port, --selinux-label and --connect do not go with that");
            }

            return;
        }

        Labelled(options.SelinuxLabel, static () => { });
        if (options.SocketPath is { } path)
        {
            UnixListener.Check(path);
        }
        else if (options.Bind is { } host)
        {
            Resolve(host);
        }
    }

    /// <summary>Opens them, or takes those that systemd or another program hands over. Those that are opened do not listen yet.</summary>
    /// <exception cref="ImgFailure">They cannot be opened; one line.</exception>
    public static ServeSockets Open(ServeOptions options)
    {
        var result = new ServeSockets();
        try
        {
            if (HandedOver() is var count and > 0)
            {
                foreach (var name in (ReadOnlySpan<string>)["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"])
                {
                    Environment.SetEnvironmentVariable(name, null);
                }

                result.TakeOver(count);
            }
            else
            {
                Labelled(options.SelinuxLabel, () => result.Open(options.SocketPath, options.Bind, options.Port ?? NbdLimits.DefaultPort));
            }

            return result;
        }
        catch
        {
            result.Close();
            result.Dispose();
            throw;
        }
    }

    /// <summary>From now on clients can connect.</summary>
    /// <exception cref="ImgFailure">Somebody else listens there.</exception>
    public void Listen()
    {
        foreach (var socket in sockets)
        {
            try
            {
                socket.Listen(MostWaiting);
            }
            catch (SocketException e)
            {
                throw new ImgFailure($"Failed to listen at {socket.LocalEndPoint}: {e.Message}", 1, e);
            }
        }
    }

    /// <summary>Closes the sockets, where nobody listens to them.</summary>
    public void Close() => sockets.ForEach(s => s.Dispose());

    /// <summary>Removes the paths that were made.</summary>
    public void Dispose() => paths.ForEach(p => p.Dispose());

    /// <summary>How many sockets were handed over (LISTEN_FDS), to this process and no other (LISTEN_PID); 0 for none.</summary>
    private static int HandedOver()
    {
        static int Read(string name) =>
            int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
        return Read("LISTEN_PID") == Environment.ProcessId || Environment.GetEnvironmentVariable("LISTEN_PID") == BackgroundServer.SamePid ? Read("LISTEN_FDS") : 0;
    }

    private void TakeOver(int count)
    {
        for (var i = 0; i < count; i++)
        {
            try
            {
                sockets.Add(new Socket(new SafeSocketHandle(FirstHandedOver + i, ownsHandle: true)));
            }
            catch (SocketException e)
            {
                throw new ImgFailure($"what was handed over as descriptor {FirstHandedOver + i} (LISTEN_FDS) is no socket: {e.Message}", 1, e);
            }
        }
    }

    private void Open(string? path, string? host, int number)
    {
        if (path is not null)
        {
            var listener = UnixListener.Open(path);
            paths.Add(listener);
            sockets.Add(listener.Socket);
            return;
        }

        var addresses = Resolve(host ?? "0.0.0.0");
        foreach (var address in addresses)
        {
            sockets.Add(Open(new IPEndPoint(address, number), isAlone: addresses.Length == 1));
            if (number == 0)
            {
                break; // the system chooses one
            }
        }
    }

    private static IPAddress[] Resolve(string host)
    {
        if (host is "" or "*")
        {
            return Socket.OSSupportsIPv6 ? [IPAddress.Any, IPAddress.IPv6Any] : [IPAddress.Any];
        }

        try
        {
            return IPAddress.TryParse(host, out var address) ? [address] : Dns.GetHostAddresses(host).Distinct().ToArray();
        }
        catch (SocketException e)
        {
            throw new ImgFailure($"there is no address for '{host}': {e.Message}", 1, e);
        }
    }

    private static Socket Open(IPEndPoint address, bool isAlone)
    {
        const int socketLevel = 1;
        const int reuseAddress = 2;
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            // What ended connections left behind does not stop a new server; two servers never share a port.
            socket.SetRawSocketOption(socketLevel, reuseAddress, BitConverter.GetBytes(1));
            if (address.AddressFamily == AddressFamily.InterNetworkV6)
            {
                socket.DualMode = isAlone && address.Address.Equals(IPAddress.IPv6Any);
            }

            socket.Bind(address);
            return socket;
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new ImgFailure($"Failed to listen at {address}: {e.Message}", 1, e);
        }
    }

    /// <summary>Sockets that are made get a label.</summary>
    private static void Labelled(string? label, Action make)
    {
        const string attribute = "/proc/thread-self/attr/sockcreate";
        if (label is null)
        {
            make();
            return;
        }

        try
        {
            File.WriteAllText(attribute, label + "\0");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var why = File.Exists("/sys/fs/selinux/enforce") ? "" : " (SELinux does not seem to be active here)";
            throw new ImgFailure($"the system refuses the SELinux label '{label}' for sockets{why}", 1, e);
        }

        try
        {
            make();
        }
        finally
        {
            File.WriteAllText(attribute, "");
        }
    }
}
