using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Byre.Cli;

/// <summary>
/// An NBD server that this program starts for its own use ("[ COMMAND ]" on a command line), and ends when it is done. It gets
/// its listening socket by systemd's socket activation, as qemu-nbd, nbdkit and this program's own server take it.
/// </summary>
internal sealed partial class SubServer : IAsyncDisposable
{
    private const int Backlog = 16;
    private const int Terminate = 15;
    private const int Kill = 9;
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(60);

    private readonly int process;
    private readonly string directory;
    private readonly string command;
    private int hasEnded;

    private SubServer(int process, string directory, IReadOnlyList<string> words)
    {
        this.process = process;
        this.directory = directory;
        command = words[0];
        Title = words.Count > 1 ? $"[ {command} ... ]" : $"[ {command} ]";
    }

    /// <summary>What failures call the server: the command, and not a socket of this program's.</summary>
    public string Title { get; }

    /// <summary>The Unix domain socket at which the server takes connections.</summary>
    public string SocketPath => Path.Combine(directory, "socket");

    /// <summary>The server's URI.</summary>
    public string Uri => "nbd+unix:///?socket=" + System.Uri.EscapeDataString(SocketPath);

    /// <summary>Starts a server. Its standard input and output lead nowhere; what it says on standard error is seen.</summary>
    /// <param name="words">The command and its arguments.</param>
    /// <exception cref="IOException">There is no such command, or it cannot be started.</exception>
    public static SubServer Start(IReadOnlyList<string> words)
    {
        if (words.Count == 0)
        {
            throw new IOException("'[ ]' names no command");
        }

        var program = Find(words[0]) ?? throw new IOException($"There is no command '{words[0]}'");
        var directory = Directory.CreateTempSubdirectory("byre").FullName;
        try
        {
            // From here on only the server has the socket: where it ends, who waits for a connection hears of it.
            using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            var bound = Path.Combine(directory, "bound");
            listener.Bind(new UnixDomainSocketEndPoint(bound));
            listener.Listen(Backlog);

            // The runtime removes the name by which it bound a socket when it closes it.
            File.Move(bound, Path.Combine(directory, "socket"));
            return new SubServer(SocketActivation.Start(program, words, listener), directory, words);
        }
        catch (Exception e) when (e is SocketException or Win32Exception or IOException or ArgumentException)
        {
            Remove(directory);
            throw new IOException($"'{words[0]}' cannot be started: {e.Message}", e);
        }
    }

    /// <summary>No more connections are wanted: nothing of this program is left among the files, however it ends.</summary>
    public void RemoveSocket() => Remove(directory);

    /// <summary>Asks the server to end, and does not wait: for a program that is ending at once itself.</summary>
    public void Stop()
    {
        if (Interlocked.Exchange(ref hasEnded, 1) == 0)
        {
            _ = Signal(process, Terminate);
            Remove(directory);
        }
    }

    /// <summary>Ends the server and waits until it has: what it wrote is written then.</summary>
    /// <exception cref="IOException">It did not end within a minute, and was killed.</exception>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref hasEnded, 1) != 0)
        {
            return;
        }

        try
        {
            if (SocketActivation.HasEnded(process))
            {
                return;
            }

            _ = Signal(process, Terminate);
            var end = Task.Run(() => SocketActivation.WaitFor(process));
            try
            {
                await end.WaitAsync(LongestEnd).ConfigureAwait(false);
            }
            catch (TimeoutException e)
            {
                _ = Signal(process, Kill);
                await end.ConfigureAwait(false);
                throw new IOException($"'{command}' did not end when it was asked to, and was killed", e);
            }
        }
        finally
        {
            Remove(directory);
        }
    }

    private static string? Find(string command)
    {
        if (command.Contains('/', StringComparison.Ordinal))
        {
            return IsExecutable(command) ? command : null;
        }

        foreach (var folder in (Environment.GetEnvironmentVariable("PATH") ?? "/usr/bin:/bin").Split(':'))
        {
            var path = Path.Combine(folder.Length == 0 ? "." : folder, command);
            if (command.Length > 0 && IsExecutable(path))
            {
                return path;
            }
        }

        return null;
    }

    private static bool IsExecutable(string path) => File.Exists(path) && Access(path, mode: 1) == 0;

    private static void Remove(string directory)
    {
        try
        {
            Directory.Delete(directory, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // An empty folder among the temporary ones; nothing depends on it.
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Signal(int process, int signal);

    [LibraryImport("libc", EntryPoint = "access", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Access(string path, int mode);
}
