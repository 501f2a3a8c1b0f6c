using System.Diagnostics;
using System.Globalization;
using System.Text;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>
/// A server of the NBD protocol in a process of its own, which listens on a socket of the file system. Disposing ends it by
/// SIGTERM, and kills it where it does not end.
/// </summary>
internal sealed class NbdServerProcess : IAsyncDisposable
{
    /// <summary>How long it may take to listen and to end; slow machines with other work need more than one thinks.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(1);

    private readonly Process process;
    private readonly string name;
    private readonly StringBuilder errors = new();
    private readonly StringBuilder output = new();

    private NbdServerProcess(Process process, string name, string socket)
    {
        this.process = process;
        this.name = name;
        Socket = socket;
    }

    /// <summary>The path of its socket.</summary>
    public string Socket { get; }

    /// <summary>Its process.</summary>
    public int ProcessId => process.Id;

    /// <summary>What it has written to standard error so far.</summary>
    public string Errors
    {
        get
        {
            lock (errors)
            {
                return errors.ToString();
            }
        }
    }

    /// <summary>What it has written to standard output so far.</summary>
    public string Output
    {
        get
        {
            lock (output)
            {
                return output.ToString();
            }
        }
    }

    /// <summary>Whether it has ended.</summary>
    public bool HasExited => process.HasExited;

    /// <summary>Starts a program and waits until a socket named "s" in its folder is listened on. No connection is made for that.</summary>
    /// <param name="program">The program's name or path.</param>
    /// <param name="folder">The folder it runs in; the arguments name the socket as PATH/s, with <see cref="SocketIn"/>.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <exception cref="InvalidOperationException">It ended instead, or nothing listens after a minute.</exception>
    public static Task<NbdServerProcess> StartAsync(string program, string folder, params IEnumerable<string> arguments) =>
        StartAsync(new ProcessStartInfo(program, arguments) { WorkingDirectory = folder }, SocketIn(folder));

    /// <summary>Starts a program and waits until a socket is listened on.</summary>
    /// <exception cref="InvalidOperationException">It ended instead, or nothing listens after a minute.</exception>
    public static async Task<NbdServerProcess> StartAsync(ProcessStartInfo start, string socket)
    {
        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        var process = Process.Start(start) ?? throw new InvalidOperationException($"{start.FileName} does not start.");
        var server = new NbdServerProcess(process, $"{start.FileName} {string.Join(' ', start.ArgumentList)}", socket);
        process.StandardInput.Close();
        process.ErrorDataReceived += (_, line) => Keep(server.errors, line.Data);
        process.OutputDataReceived += (_, line) => Keep(server.output, line.Data);
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        try
        {
            for (var watch = Stopwatch.StartNew(); !IsListening(socket); await Task.Delay(5))
            {
                if (process.HasExited)
                {
                    await process.WaitForExitAsync();
                    throw new InvalidOperationException($"{server.name} ended with {process.ExitCode}: {server.Errors}{server.Output}");
                }

                if (watch.Elapsed > Limit)
                {
                    throw new InvalidOperationException($"{server.name} does not listen: {server.Errors}{server.Output}");
                }
            }
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }

        return server;
    }

    /// <summary>The path that <see cref="StartAsync(string, string, IEnumerable{string})"/> waits for.</summary>
    public static string SocketIn(string folder) => Path.Combine(folder, "s");

    /// <summary>The URI of one of its exports.</summary>
    public string Uri(string export = "") => $"nbd+unix:///{System.Uri.EscapeDataString(export)}?socket={Socket}";

    /// <summary>Sends SIGTERM and waits for the end.</summary>
    /// <returns>The exit status; that of a process which a signal ended is 128 and the signal.</returns>
    /// <exception cref="TimeoutException">It did not end within a minute, and was killed.</exception>
    public async Task<int> StopAsync()
    {
        if (!process.HasExited)
        {
            await SignalAsync("TERM");
        }

        return await WaitAsync();
    }

    /// <summary>Sends a signal, such as TERM, INT, or KILL.</summary>
    public Task SignalAsync(string signal) =>
        ExternalTool.RunAsync("kill", "/", $"-{signal}", process.Id.ToString(CultureInfo.InvariantCulture));

    /// <summary>Waits until it ends by itself.</summary>
    /// <returns>The exit status.</returns>
    /// <exception cref="TimeoutException">It did not end within a minute, and was killed.</exception>
    public async Task<int> WaitAsync()
    {
        using var limit = new CancellationTokenSource(Limit);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw new TimeoutException($"{name} does not end: {Errors}");
        }

        return process.ExitCode;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await StopAsync();
        }
        finally
        {
            process.Dispose();
        }
    }

    /// <summary>Whether a process listens on a socket of the file system, as the kernel's table of sockets says.</summary>
    private static bool IsListening(string socket)
    {
        const string acceptsConnections = " 00010000 ";
        return File.ReadLines("/proc/net/unix").Any(line =>
            line.Contains(acceptsConnections, StringComparison.Ordinal) && line.EndsWith(" " + socket, StringComparison.Ordinal));
    }

    private static void Keep(StringBuilder into, string? line)
    {
        if (line is not null)
        {
            lock (into)
            {
                into.Append(line).Append('\n');
            }
        }
    }
}
