using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Byre.Cli.Img;

namespace Byre.Cli.Serve;

/// <summary>
/// A bound Unix domain socket, to listen to. A socket that lies at its path is replaced, as nobody can listen to it any more or who does
/// is pushed aside; anything else is left alone. Its path is removed when it is disposed, unless something else lies there.
/// </summary>
internal sealed unsafe partial class UnixListener : IDisposable
{
    private const int MostPathBytes = 107; // sun_path, less the zero byte
    private const int UnixFamily = 1;
    private const int StreamCloseOnExec = 1 | 0x80000;

    private readonly string path;
    private readonly (ulong Device, ulong Number) identity;

    private UnixListener(string path, Socket socket)
    {
        this.path = path;
        Socket = socket;
        identity = Identity(path) ?? default;
    }

    /// <summary>The socket; belongs to whoever listens to it.</summary>
    public Socket Socket { get; }

    /// <summary>Looks whether a socket could be made there; nothing is changed.</summary>
    /// <param name="path">The path.</param>
    /// <exception cref="ImgFailure">None could; the message names the path.</exception>
    public static void Check(string path)
    {
        var length = Encoding.UTF8.GetByteCount(path);
        if (length > MostPathBytes)
        {
            throw new ImgFailure($"the path of a socket has at most {MostPathBytes} bytes, and '{path}' has {length}");
        }

        if (Path.GetDirectoryName(path) is { Length: > 0 } directory && !Directory.Exists(directory))
        {
            throw new ImgFailure($"Failed to bind a socket to '{path}': No such file or directory");
        }

        if (Directory.Exists(path) || (File.Exists(path) && !IsSocket(path)))
        {
            throw new ImgFailure($"'{path}' exists and is no socket: it is left as it is");
        }
    }

    /// <summary>Binds.</summary>
    /// <param name="path">The path.</param>
    /// <exception cref="ImgFailure">It cannot listen there; the message names the path.</exception>
    public static UnixListener Open(string path)
    {
        Check(path);
        RemoveOld(path);
        var bytes = Encoding.UTF8.GetBytes(path);

        // Not by the runtime's own call: its sockets remove the path they were bound to, whoever has bound it meanwhile.
        var address = stackalloc byte[2 + MostPathBytes + 1];
        new Span<byte>(address, 2 + MostPathBytes + 1).Clear();
        *(ushort*)address = UnixFamily;
        bytes.CopyTo(new Span<byte>(address + 2, MostPathBytes));
        var descriptor = Open(UnixFamily, StreamCloseOnExec, 0);
        if (descriptor < 0 || Bind(descriptor, address, (uint)(2 + bytes.Length + 1)) != 0)
        {
            var errno = Marshal.GetLastPInvokeError();
            _ = descriptor < 0 ? 0 : Close(descriptor);
            throw new ImgFailure($"Failed to bind a socket to '{path}': {Marshal.GetPInvokeErrorMessage(errno)}");
        }

        return new UnixListener(path, new Socket(new SafeSocketHandle(descriptor, ownsHandle: true)));
    }

    /// <summary>Removes the path.</summary>
    public void Dispose()
    {
        if (identity != default && Identity(path) == identity)
        {
            try
            {
                File.Delete(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // The next server replaces it.
            }
        }
    }

    private static void RemoveOld(string path)
    {
        try
        {
            if (File.Exists(path))
            {
                File.Delete(path);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ImgFailure($"Failed to remove the old socket '{path}': {e.Message}", 1, e);
        }
    }

    private static bool IsSocket(string path)
    {
        const uint kindOfFile = 0xf000;
        const uint socket = 0xc000;
        return Look(path) is { } file && (file.Mode & kindOfFile) == socket;
    }

    private static (ulong Device, ulong Number)? Identity(string path) => Look(path) is { } file ? (file.Device, file.Number) : null;

    /// <summary>statx(2): its structure is the same on all systems.</summary>
    private static (uint Mode, ulong Device, ulong Number)? Look(string path)
    {
        const int here = -100;
        const int notFollowed = 0x100;
        const uint basics = 0x7ff;
        var buffer = stackalloc byte[256];
        return StatX(here, path, notFollowed, basics, buffer) == 0
            ? (*(ushort*)(buffer + 28), ((ulong)*(uint*)(buffer + 136) << 32) | *(uint*)(buffer + 140), *(ulong*)(buffer + 32))
            : null;
    }

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    private static partial int Open(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    private static partial int Bind(int descriptor, byte* address, uint length);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int StatX(int directory, string path, int flags, uint mask, byte* buffer);
}
