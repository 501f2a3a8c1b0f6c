using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Byre.Cli;

/// <summary>
/// Starts a process that gets a listening socket as systemd's socket activation hands it over: as descriptor 3, with LISTEN_FDS
/// and LISTEN_PID in its environment.
/// </summary>
internal static unsafe partial class SocketActivation
{
    private const int ListenDescriptor = 3;
    private const int OpaqueBytes = 1024; // posix_spawn_file_actions_t, posix_spawnattr_t and sigset_t are smaller everywhere
    private const short SetSignalDefaults = 4;
    private const short SetSignalMask = 8;
    private const int OpenReadWrite = 2;
    private const int BrokenPipe = 13;

    // LISTEN_PID is known in the process itself only, before it becomes the server: a shell sees to it.
    private const string Script = "LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; unset LISTEN_FDNAMES; exec \"$@\"";

    /// <summary>Starts it. Its standard input and output lead nowhere; its standard error is this program's.</summary>
    /// <param name="program">The file to run.</param>
    /// <param name="words">Its arguments; the first is its name.</param>
    /// <param name="listener">Listens; the process has a copy.</param>
    /// <returns>The process's number; to be waited for with <see cref="WaitFor"/>.</returns>
    /// <exception cref="Win32Exception">The system refuses.</exception>
    public static int Start(string program, IReadOnlyList<string> words, Socket listener)
    {
        var arguments = Words(["/bin/sh", "-c", Script, words[0], program, .. words.Skip(1)]);
        var environment = Words(Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>().Select(e => $"{e.Key}={e.Value}"));
        var actions = stackalloc byte[OpaqueBytes];
        var attributes = stackalloc byte[OpaqueBytes];
        var signals = stackalloc byte[OpaqueBytes];
        var copy = -1;
        try
        {
            // Above 3, so that what is opened for 0 and 1 below never takes its place.
            copy = Control((int)listener.Handle, command: 1030 /* F_DUPFD_CLOEXEC */, ListenDescriptor + 1);
            Check(copy < 0 ? Marshal.GetLastPInvokeError() : 0);
            Check(InitActions(actions));
            Check(InitAttributes(attributes));
            Check(AddDuplicate(actions, copy, ListenDescriptor));
            Check(AddOpen(actions, 0, "/dev/null", OpenReadWrite, 0));
            Check(AddOpen(actions, 1, "/dev/null", OpenReadWrite, 0));

            // This program ignores broken pipes and holds signals; the server shall not.
            _ = EmptySet(signals);
            Check(SetMask(attributes, signals));
            _ = AddSignal(signals, BrokenPipe);
            Check(SetDefaults(attributes, signals));
            Check(SetFlags(attributes, SetSignalDefaults | SetSignalMask));
            Check(Spawn(out var process, "/bin/sh", actions, attributes, arguments, environment));
            return process;
        }
        finally
        {
            if (copy >= 0)
            {
                _ = Close(copy);
            }

            Free(arguments);
            Free(environment);
            _ = DestroyActions(actions);
            _ = DestroyAttributes(attributes);
        }
    }

    /// <summary>Whether a process that was started here has ended; it is forgotten by the system then.</summary>
    public static bool HasEnded(int process) => Wait(process, out _, options: 1 /* WNOHANG */) != 0;

    /// <summary>Waits for a process that was started here.</summary>
    public static void WaitFor(int process)
    {
        while (Wait(process, out _, options: 0) < 0 && Marshal.GetLastPInvokeError() == 4 /* EINTR */)
        {
            // A signal came in between.
        }
    }

    private static void Check(int errno)
    {
        if (errno != 0)
        {
            throw new Win32Exception(errno);
        }
    }

    private static byte** Words(IEnumerable<string> words)
    {
        var list = words.ToList();
        var array = (byte**)NativeMemory.AllocZeroed((nuint)list.Count + 1, (nuint)sizeof(byte*));
        for (var i = 0; i < list.Count; i++)
        {
            array[i] = (byte*)Marshal.StringToCoTaskMemUTF8(list[i]);
        }

        return array;
    }

    private static void Free(byte** words)
    {
        for (var i = 0; words[i] != null; i++)
        {
            Marshal.FreeCoTaskMem((nint)words[i]);
        }

        NativeMemory.Free(words);
    }

    [LibraryImport("libc", EntryPoint = "posix_spawn", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Spawn(out int process, string path, byte* actions, byte* attributes, byte** arguments, byte** environment);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_init")]
    private static partial int InitActions(byte* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_destroy")]
    private static partial int DestroyActions(byte* actions);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_adddup2")]
    private static partial int AddDuplicate(byte* actions, int descriptor, int becomes);

    [LibraryImport("libc", EntryPoint = "posix_spawn_file_actions_addopen", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int AddOpen(byte* actions, int descriptor, string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_init")]
    private static partial int InitAttributes(byte* attributes);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_destroy")]
    private static partial int DestroyAttributes(byte* attributes);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setflags")]
    private static partial int SetFlags(byte* attributes, short flags);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigmask")]
    private static partial int SetMask(byte* attributes, byte* signals);

    [LibraryImport("libc", EntryPoint = "posix_spawnattr_setsigdefault")]
    private static partial int SetDefaults(byte* attributes, byte* signals);

    [LibraryImport("libc", EntryPoint = "sigemptyset")]
    private static partial int EmptySet(byte* signals);

    [LibraryImport("libc", EntryPoint = "sigaddset")]
    private static partial int AddSignal(byte* signals, int signal);

    [LibraryImport("libc", EntryPoint = "waitpid", SetLastError = true)]
    private static partial int Wait(int process, out int status, int options);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(int descriptor, int command, nint argument);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
