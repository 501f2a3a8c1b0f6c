using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace Byre.Cli.Io;

/// <summary>Signals to the program itself, with the system's default effect and not the runtime's.</summary>
internal static partial class Signals
{
    /// <summary>SIGABRT.</summary>
    public const int Abort = 6;

    /// <summary>SIGPIPE.</summary>
    public const int BrokenPipe = 13;

    private const int Continue = 18;
    private const int StartTime = 19; // field 22 of /proc/PID/stat, counted from behind the program's name

    /// <summary>Raises a signal; 0 does nothing. What the runtime has among the temporary files goes before, as nothing removes it later.</summary>
    public static void Raise(int signal)
    {
        if (OperatingSystem.IsLinux() || OperatingSystem.IsMacOS())
        {
            RaiseOnUnix(signal);
        }
        else if (signal is not 0)
        {
            Environment.Exit(128 + signal);
        }
    }

    /// <summary>
    /// Signals that who started the program has it ignore (a shell does so with those of the keyboard, for what it runs in the
    /// background) have their effect again; the runtime would leave them ignored.
    /// </summary>
    public static void Heed(params ReadOnlySpan<int> signals)
    {
        if (OperatingSystem.IsLinux() || OperatingSystem.IsMacOS())
        {
            foreach (var signal in signals)
            {
                HeedOnUnix(signal);
            }
        }
    }

    [UnsupportedOSPlatform("windows")]
    private static void HeedOnUnix(int signal) => _ = SetHandler(signal, 0);

    [UnsupportedOSPlatform("windows")]
    private static void RaiseOnUnix(int signal)
    {
        if (signal is > 0 and not Continue)
        {
            RemoveRuntimeFiles();
            _ = SetHandler(signal, 0);
        }

        _ = Kill(GetPid(), signal);
    }

    /// <summary>The sockets and pipes by which a debugger finds the program: the runtime removes them only where it ends by itself.</summary>
    private static void RemoveRuntimeFiles()
    {
        try
        {
            var stat = File.ReadAllText("/proc/self/stat");
            var started = stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[StartTime];
            var folder = Path.GetTempPath();
            foreach (var (before, after) in ((string, string)[])[("dotnet-diagnostic", "socket"), ("clr-debug-pipe", "in"), ("clr-debug-pipe", "out")])
            {
                File.Delete(Path.Combine(folder, $"{before}-{Environment.ProcessId}-{started}-{after}"));
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or IndexOutOfRangeException)
        {
            // They are empty files.
        }
    }

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint SetHandler(int signal, nint handler);

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int pid, int signal);

    [LibraryImport("libc", EntryPoint = "getpid")]
    private static partial int GetPid();
}
