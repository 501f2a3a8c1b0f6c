using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Byre.Cli.Img;
using Microsoft.Win32.SafeHandles;

namespace Byre.Cli.Serve;

/// <summary>
/// --fork. A process of this runtime cannot fork, so the program starts itself again, with a pipe on which the new process says
/// that it is ready; only then the first one ends. What goes wrong before that the new process says itself, on the same standard error.
/// </summary>
internal sealed partial class BackgroundServer : IDisposable
{
    /// <summary>In LISTEN_PID: the sockets were handed over to the process that has started this one.</summary>
    public const string SamePid = "parent";

    private const string Variable = "BYRE_BACKGROUND";
    private const int SetDescriptorFlags = 2;
    private const int OpenReadWrite = 2;
    private const int CloseOnExec = 0x80000;

    private readonly SafeFileHandle report;

    private BackgroundServer(SafeFileHandle report, string program)
    {
        this.report = report;
        Program = program;
    }

    /// <summary>The program's name in errors.</summary>
    public string Program { get; }

    /// <summary>Starts the program again and waits until it is ready or has failed.</summary>
    /// <param name="words">What follows the applet's name.</param>
    /// <param name="program">The program's name in errors.</param>
    /// <returns>The exit status.</returns>
    /// <exception cref="ImgFailure">It cannot be started.</exception>
    public static async Task<int> StartAsync(IReadOnlyList<string> words, string program)
    {
        var (reads, writes) = Pipe();
        using (reads)
        {
            Process child;
            using (writes)
            {
                child = Start(words, program, (int)writes.DangerousGetHandle());
            }

            using (child)
            {
                var said = new byte[1];
                if (await Task.Run(() => ReadOne(reads, said)).ConfigureAwait(false))
                {
                    return 0;
                }

                await child.WaitForExitAsync().ConfigureAwait(false);
                return child.ExitCode != 0 ? Math.Min(child.ExitCode, 1) : throw new ImgFailure("the server ended before it was ready");
            }
        }
    }

    /// <summary>What the process that started this one waits for; null where this one was started by a user.</summary>
    public static BackgroundServer? Current()
    {
        if (Environment.GetEnvironmentVariable(Variable) is not { } text)
        {
            return null;
        }

        Environment.SetEnvironmentVariable(Variable, null);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || !int.TryParse(text.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out var descriptor))
        {
            return null;
        }

        _ = NewSession(); // the terminal it was started from has no more say over it
        _ = Control(descriptor, SetDescriptorFlags, 1);
        return new BackgroundServer(new SafeFileHandle(descriptor, ownsHandle: true), text[(colon + 1)..]);
    }

    /// <summary>Leaves the streams of who started it, and says that the server is ready.</summary>
    /// <param name="keepsErrors">Standard error stays (-v).</param>
    public void Ready(bool keepsErrors)
    {
        LeaveStreams(keepsErrors);

        try
        {
            using var pipe = new FileStream(report, FileAccess.Write, bufferSize: 0);
            pipe.WriteByte(1);
        }
        catch (IOException)
        {
            // Who started it has gone; it serves all the same.
        }
    }

    /// <inheritdoc/>
    public void Dispose() => report.Dispose();

    /// <summary>
    /// The streams, and the copies that the runtime has made of them, lead nowhere from now on: who reads what the first process
    /// writes sees its end.
    /// </summary>
    private static void LeaveStreams(bool keepsErrors)
    {
        var nothing = Open("/dev/null", OpenReadWrite | CloseOnExec, 0);
        if (nothing < 0)
        {
            return;
        }

        const string own = "/proc/self/fd";
        var kept = keepsErrors ? Target(2) : null;
        var left = new[] { Target(0), Target(1), Target(2) }.Where(t => t is not null && t != kept).ToHashSet();
        foreach (var entry in Directory.GetFiles(own))
        {
            if (int.TryParse(Path.GetFileName(entry), NumberStyles.None, CultureInfo.InvariantCulture, out var descriptor)
                && descriptor != nothing && left.Contains(Target(descriptor)))
            {
                _ = Duplicate(nothing, descriptor, descriptor > 2 ? CloseOnExec : 0);
            }
        }

        _ = Close(nothing);

        static string? Target(int descriptor)
        {
            try
            {
                return new FileInfo($"{own}/{descriptor}").LinkTarget;
            }
            catch (IOException)
            {
                return null; // it was closed meanwhile
            }
        }
    }

    private static Process Start(IReadOnlyList<string> words, string program, int descriptor)
    {
        var own = Environment.ProcessPath ?? throw new ImgFailure("where this program lies cannot be told, so it cannot be started in the background");
        var start = new ProcessStartInfo(own) { UseShellExecute = false };
        if (Path.GetFileName(own) == "dotnet")
        {
            start.ArgumentList.Add(Environment.GetCommandLineArgs()[0]); // run by the runtime's own program: the assembly comes first
        }

        start.ArgumentList.Add("serve");
        foreach (var word in words)
        {
            start.ArgumentList.Add(word);
        }

        start.Environment[Variable] = string.Create(CultureInfo.InvariantCulture, $"{descriptor}:{program}");
        if (Environment.GetEnvironmentVariable("LISTEN_PID") == Environment.ProcessId.ToString(CultureInfo.InvariantCulture))
        {
            start.Environment["LISTEN_PID"] = SamePid;
        }

        try
        {
            return Process.Start(start) ?? throw new ImgFailure("the server could not be started in the background");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new ImgFailure($"the server could not be started in the background: {e.Message}", 1, e);
        }
    }

    private static bool ReadOne(SafeFileHandle from, byte[] into)
    {
        using var stream = new FileStream(from, FileAccess.Read, bufferSize: 0);
        return stream.Read(into) == 1;
    }

    private static unsafe (SafeFileHandle Reads, SafeFileHandle Writes) Pipe()
    {
        var ends = stackalloc int[2];
        if (MakePipe(ends, CloseOnExec) != 0)
        {
            throw new ImgFailure($"pipe: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        }

        _ = Control(ends[1], SetDescriptorFlags, 0); // the new process has this end
        return (new SafeFileHandle(ends[0], ownsHandle: true), new SafeFileHandle(ends[1], ownsHandle: true));
    }

    [LibraryImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    private static unsafe partial int MakePipe(int* ends, int flags);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(int descriptor, int command, int argument);

    [LibraryImport("libc", EntryPoint = "setsid", SetLastError = true)]
    private static partial int NewSession();

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "dup3", SetLastError = true)]
    private static partial int Duplicate(int descriptor, int becomes, int flags);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
