using System.Runtime.InteropServices;
using Byre.Nodes;
using Microsoft.Win32.SafeHandles;

namespace Byre.Storage.Linux;

/// <summary>
/// Opens and makes regular files, block devices and empty character devices like /dev/null (open(2)); refuses everything else.
/// </summary>
internal static class LinuxFileOpener
{
    private const uint NewFileMode = 0x1a4; // rw-r--r--, less the umask

    /// <summary>Opens an existing file.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="readOnly">Only to read it.</param>
    /// <param name="autoReadOnly">Opened for reading only where it may not be written.</param>
    /// <param name="direct">Past the page cache (O_DIRECT).</param>
    /// <param name="locking">Permissions are held as locks on the file.</param>
    /// <exception cref="BlockException">It cannot be opened, or is neither a regular file nor a block device.</exception>
    internal static LinuxFile Open(string path, bool readOnly, bool autoReadOnly, bool direct, bool locking)
    {
        var flags = (readOnly ? LibC.OpenReadOnly : LibC.OpenReadWrite) | LibC.OpenCloseOnExec | LibC.OpenNonBlocking | (direct ? LibC.OpenDirect : 0);
        var fd = LibC.Open(path, flags, 0);
        var errno = fd < 0 ? Marshal.GetLastPInvokeError() : 0;
        if (fd < 0 && autoReadOnly && !readOnly && errno is LibC.AccessDenied or LibC.ReadOnlyFileSystem or LibC.NotPermitted)
        {
            readOnly = true;
            fd = LibC.Open(path, LibC.OpenReadOnly | LibC.OpenCloseOnExec | LibC.OpenNonBlocking | (direct ? LibC.OpenDirect : 0), 0);
            errno = fd < 0 ? Marshal.GetLastPInvokeError() : 0;
        }

        if (fd < 0)
        {
            throw direct && errno == LibC.Invalid
                ? new BlockException(
                    ErrorCode.Invalid, $"Could not open '{path}': the file system does not support O_DIRECT", path)
                : BlockException.FromErrno(errno, $"Could not open '{path}'", path);
        }

        if (!readOnly && IsReadOnlyDevice(fd))
        {
            if (autoReadOnly)
            {
                readOnly = true;
            }
            else
            {
                new SafeFileHandle(fd, ownsHandle: true).Dispose();
                throw new BlockException(ErrorCode.ReadOnly, $"Could not open '{path}': the device is read-only", path);
            }
        }

        return Wrap(fd, path, readOnly, direct, locking);
    }

    /// <summary>Makes a file, or opens the one that is there; it is not truncated.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="locking">Permissions are held as locks on the file.</param>
    /// <exception cref="BlockException">It cannot be made, or is neither a regular file nor a block device.</exception>
    internal static LinuxFile Create(string path, bool locking)
    {
        var fd = LibC.Open(path, LibC.OpenReadWrite | LibC.OpenCreate | LibC.OpenCloseOnExec, NewFileMode);
        return fd < 0
            ? throw BlockException.FromErrno(Marshal.GetLastPInvokeError(), $"Could not create '{path}'", path)
            : Wrap(fd, path, readOnly: false, direct: false, locking);
    }

    private static LinuxFile Wrap(int fd, string path, bool readOnly, bool direct, bool locking)
    {
        var handle = new SafeFileHandle(fd, ownsHandle: true);
        try
        {
            var status = FileStatus.Of(fd, path);
            return status.Kind switch
            {
                FileKind.Directory => throw new BlockException(ErrorCode.Invalid, $"Could not open '{path}': it is a directory", path, errno: LibC.IsDirectory),
                FileKind.CharacterDevice when LibC.Seek(fd, 0, LibC.SeekEnd) == 0 => new LinuxFile(handle, path, readOnly, status, direct, locking: false),
                FileKind.Other or FileKind.CharacterDevice => throw new BlockException(
                    ErrorCode.Invalid, $"Could not open '{path}': it is neither a regular file nor a block device", path),
                _ => new LinuxFile(handle, path, readOnly, status, direct, locking),
            };
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private static unsafe bool IsReadOnlyDevice(int fd)
    {
        int answer = 0;
        return LibC.Control(fd, LibC.BlockReadOnly, &answer) == 0 && answer != 0;
    }
}
