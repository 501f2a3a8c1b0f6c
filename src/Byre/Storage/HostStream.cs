using System.Runtime.InteropServices;
using Byre.Nodes;
using Byre.Storage.Linux;
using Microsoft.Win32.SafeHandles;

namespace Byre.Storage;

/// <summary>
/// A pipe, terminal, character device or standard stream: read or written from where it is. Calls wait on the caller's thread.
/// Linux only.
/// </summary>
public sealed unsafe class HostStream : ISequentialInput, ISequentialOutput, IDisposable
{
    private const int MillisecondsBetweenLooks = 100;
    private const int WantedPipeSize = 1 << 20;
    private const uint NewFileMode = 0x1a4; // rw-r--r--, less the umask

    private readonly SafeFileHandle handle;
    private readonly int fd;
    private readonly string name;

    private HostStream(int fd, string name)
    {
        this.fd = fd;
        this.name = name;
        handle = new SafeFileHandle(fd, ownsHandle: true);

        // A wish: others than pipes refuse it, and so does the system where the user has many pipes already.
        _ = LibC.FileControl(fd, LibC.SetPipeSize, (nint)WantedPipeSize);
    }

    /// <summary>What a path leads to; links are followed.</summary>
    public static HostPathKind KindOf(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return KindOf(FileStatus.OfPath(path));
    }

    /// <summary>What an open descriptor is. A file that is not at its front, or is appended to, counts as a stream.</summary>
    /// <param name="descriptor">The descriptor; 0 and 1 for the standard streams.</param>
    public static HostPathKind KindOf(int descriptor)
    {
        var kind = KindOf(FileStatus.OfPath($"/proc/self/fd/{descriptor}"));
        if (kind is not (HostPathKind.File or HostPathKind.Device))
        {
            return kind;
        }

        var flags = LibC.FileControl(descriptor, LibC.GetStatusFlags, (nint)0);
        return LibC.Seek(descriptor, 0, LibC.SeekCurrent) == 0 && (flags & LibC.OpenAppend) == 0 ? kind : HostPathKind.Stream;
    }

    /// <summary>Opens what a path leads to; waits for the other end of a named pipe.</summary>
    /// <param name="path">The path.</param>
    /// <param name="writes">For writing; otherwise for reading.</param>
    /// <exception cref="BlockException">It cannot be opened.</exception>
    public static HostStream Open(string path, bool writes)
    {
        ArgumentNullException.ThrowIfNull(path);
        var fd = LibC.Open(path, (writes ? LibC.OpenWriteOnly : LibC.OpenReadOnly) | LibC.OpenCloseOnExec, NewFileMode);
        return fd >= 0
            ? new HostStream(fd, path)
            : throw BlockException.FromErrno(Marshal.GetLastPInvokeError(), $"Could not open '{path}'", path);
    }

    /// <summary>A stream over a descriptor of the caller's, which stays open.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="name">What messages call it.</param>
    /// <exception cref="BlockException">It is not open, or was not when the program began.</exception>
    public static HostStream OfDescriptor(int descriptor, string name)
    {
        // What a program was given is never closed when it starts another: one that is, is the runtime's own.
        if ((LibC.FileControl(descriptor, LibC.GetDescriptorFlags, (nint)0) & LibC.CloseOnExec) != 0)
        {
            throw BlockException.FromErrno(LibC.BadDescriptor, $"Could not open '{name}'", name);
        }

        var fd = LibC.FileControl(descriptor, LibC.DuplicateCloseOnExec, (nint)3);
        return fd >= 0
            ? new HostStream(fd, name)
            : throw BlockException.FromErrno(Marshal.GetLastPInvokeError(), $"Could not open '{name}'", name);
    }

    /// <inheritdoc/>
    public ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellation)
    {
        fixed (byte* p = buffer.Span)
        {
            while (true)
            {
                Wait(LibC.PollIn, cancellation);
                var n = LibC.Read(fd, p, buffer.Length);
                if (n >= 0)
                {
                    return new((int)n);
                }

                var errno = Marshal.GetLastPInvokeError();
                if (errno is not (LibC.Interrupted or LibC.TryAgain))
                {
                    throw BlockException.FromErrno(errno, $"Could not read from '{name}'", name);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> data)
    {
        fixed (byte* p = data)
        {
            for (var done = 0; done < data.Length;)
            {
                var n = LibC.Write(fd, p + done, data.Length - done);
                if (n > 0)
                {
                    done += (int)n;
                    continue;
                }

                var errno = n == 0 ? LibC.NoSpace : Marshal.GetLastPInvokeError();
                if (errno == LibC.TryAgain)
                {
                    Wait(LibC.PollOut, CancellationToken.None);
                }
                else if (errno != LibC.Interrupted)
                {
                    throw BlockException.FromErrno(errno, $"Could not write to '{name}'", name);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => handle.Dispose();

    private static HostPathKind KindOf(FileStatus? status) => status?.Kind switch
    {
        null => HostPathKind.Missing,
        FileKind.Regular => HostPathKind.File,
        FileKind.BlockDevice => HostPathKind.Device,
        FileKind.Directory => HostPathKind.Directory,
        _ => HostPathKind.Stream,
    };

    private void Wait(short what, CancellationToken cancellation)
    {
        LibC.PollEntry entry = new() { Descriptor = fd, Events = what };
        do
        {
            cancellation.ThrowIfCancellationRequested();
        }
        while (LibC.Poll(&entry, 1, MillisecondsBetweenLooks) <= 0);
    }
}
