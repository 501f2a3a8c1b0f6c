using System.Runtime.InteropServices;
using Byre.Nodes;
using Microsoft.Win32.SafeHandles;

namespace Byre.Storage.Linux;

/// <summary>A file or block device through Linux's own calls. See the named man pages for each call's contract.</summary>
internal sealed unsafe class LinuxFile : HostFile
{
    private const int ProbeAlignment = 4096;

    private readonly SafeFileHandle handle;
    private readonly int fd;
    private readonly FileStatus status;
    private readonly PermissionLocks? locks;
    private int noWaitUnsupported;
    private int cloneUnsupported;
    private int copyUnsupported;
    private int zeroUnsupported;
    private int punchUnsupported;

    private LinuxFile(SafeFileHandle handle, string path, bool readOnly, FileStatus status, bool direct, bool locking)
    {
        this.handle = handle;
        fd = (int)handle.DangerousGetHandle();
        Path = path;
        IsReadOnly = readOnly;
        this.status = status;
        locks = locking ? new PermissionLocks(fd, path) : null;
        var sector = 512;
        if (IsDevice)
        {
            int size = 0;
            if (LibC.Control(fd, LibC.BlockSectorSize, &size) == 0 && size is > 0 and <= 65536)
            {
                sector = size;
            }
        }

        Alignment = direct ? Math.Max(sector, status.DirectAlignment > 0 ? status.DirectAlignment : (IsDevice ? sector : ProbeAlignment)) : 1;
        MemoryAlignment = direct ? Math.Max(status.DirectMemoryAlignment, Alignment) : 1;
        if (direct && !readOnly && Alignment < status.DirectAlignment)
        {
            Alignment = status.DirectAlignment;
        }
    }

    internal override string Path { get; }

    internal override bool IsReadOnly { get; }

    internal override bool IsDevice => status.Kind == FileKind.BlockDevice;

    internal override int Alignment { get; }

    internal override int MemoryAlignment { get; }

    internal override (ulong Device, ulong Inode) Identity => (status.Device, status.Inode);

    /// <summary>Opens an existing file.</summary>
    internal static LinuxFile Open(string path, bool readOnly, bool autoReadOnly, bool direct, bool locking)
    {
        var flags = (readOnly ? LibC.OpenReadOnly : LibC.OpenReadWrite) | LibC.OpenCloseOnExec | LibC.OpenNonBlocking | (direct ? LibC.OpenDirect : 0);
        var fd = LibC.Open(path, flags, 0);
        var errno = fd < 0 ? Marshal.GetLastPInvokeError() : 0;
        if (fd < 0 && autoReadOnly && !readOnly && errno is LibC.AccessDenied or LibC.ReadOnlyFileSystem or 1)
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

    private static bool IsReadOnlyDevice(int fd)
    {
        int answer = 0;
        return LibC.Control(fd, LibC.BlockReadOnly, &answer) == 0 && answer != 0;
    }

    /// <summary>Makes a file, or opens the one that is there; it is not truncated.</summary>
    internal static LinuxFile Create(string path, bool exclusive, bool locking)
    {
        var fd = LibC.Open(
            path, LibC.OpenReadWrite | LibC.OpenCreate | LibC.OpenCloseOnExec | (exclusive ? LibC.OpenExclusive : 0), 0x1a4);
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
                FileKind.Directory => throw new BlockException(ErrorCode.Invalid, $"Could not open '{path}': it is a directory", path, errno: 21),
                FileKind.Other => throw new BlockException(
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

    /// <summary>Asks a copy-on-write file system not to copy (chattr +C); only an empty file can still change.</summary>
    internal void TrySetNoCow()
    {
        int attributes = 0;
        if (LibC.Control(fd, LibC.GetFlags, &attributes) == 0)
        {
            attributes |= LibC.NoCowFlag;
            _ = LibC.Control(fd, LibC.SetFlags, &attributes); // a wish: file systems without it refuse, and that is fine
        }
    }

    internal override long QueryLength()
    {
        if (!IsDevice)
        {
            return FileStatus.Of(fd, Path).Size;
        }

        long size = 0;
        return LibC.Control(fd, LibC.BlockGetSize64, &size) == 0
            ? size
            : throw Failure($"Could not get the size of '{Path}'", null);
    }

    internal override long QueryAllocated() => IsDevice ? 0 : FileStatus.Of(fd, Path).AllocatedBytes;

    internal override int ReadNow(long offset, Span<byte> buffer)
    {
        if (noWaitUnsupported != 0 || Rest(buffer.Length) != 0)
        {
            return -1;
        }

        fixed (byte* p = buffer)
        {
            LibC.IoVector vector = new() { Base = p, Length = buffer.Length };
            var n = LibC.PreadV2(fd, &vector, 1, offset, LibC.NoWait);
            if (n >= 0)
            {
                return (int)n;
            }

            if (Marshal.GetLastPInvokeError() is LibC.NotSupported or LibC.NoSystemCall or LibC.Invalid)
            {
                noWaitUnsupported = 1;
            }

            return -1;
        }
    }

    internal override int Read(long offset, Span<byte> buffer)
    {
        var rest = Rest(buffer.Length);
        if (rest == 0)
        {
            return ReadBlocks(offset, buffer);
        }

        // The end of a file that is not whole blocks long: O_DIRECT asks for the whole block, and gets what there is.
        var whole = buffer.Length - rest;
        var done = whole == 0 ? 0 : ReadBlocks(offset, buffer[..whole]);
        if (done < whole)
        {
            return done;
        }

        using var block = BufferPool.Rent(Alignment);
        var n = Math.Min(rest, ReadBlocks(offset + whole, block.Memory.Span));
        block.Memory.Span[..n].CopyTo(buffer[whole..]);
        return whole + n;
    }

    internal override void Write(long offset, ReadOnlySpan<byte> data)
    {
        var rest = Rest(data.Length);
        var whole = data.Length - rest;
        if (whole > 0)
        {
            WriteBlocks(offset, data[..whole]);
        }

        if (rest > 0)
        {
            // The (new) end of a file that is not whole blocks long: O_DIRECT writes the whole block, and then it is cut.
            using var block = BufferPool.Rent(Alignment);
            data[whole..].CopyTo(block.Memory.Span);
            block.Memory.Span[rest..].Clear();
            WriteBlocks(offset + whole, block.Memory.Span);
            SetLength(offset + data.Length);
        }
    }

    /// <summary>How many bytes at the end of a request are not a whole block.</summary>
    private int Rest(int length) => length & (Alignment - 1);

    private int ReadBlocks(long offset, Span<byte> buffer)
    {
        fixed (byte* p = buffer)
        {
            var done = 0;
            while (done < buffer.Length)
            {
                var n = LibC.Pread(fd, p + done, buffer.Length - done, offset + done);
                if (n < 0)
                {
                    if (Marshal.GetLastPInvokeError() == LibC.Interrupted)
                    {
                        continue;
                    }

                    throw Failure($"Could not read from '{Path}'", offset);
                }

                if (n == 0)
                {
                    break;
                }

                done += (int)n;
                if (Alignment > 1 && done % Alignment != 0)
                {
                    break; // the end of a file that O_DIRECT cannot ask beyond
                }
            }

            return done;
        }
    }

    private void WriteBlocks(long offset, ReadOnlySpan<byte> data)
    {
        fixed (byte* p = data)
        {
            var done = 0;
            while (done < data.Length)
            {
                var n = LibC.Pwrite(fd, p + done, data.Length - done, offset + done);
                if (n > 0)
                {
                    done += (int)n;
                }
                else if (n == 0 || Marshal.GetLastPInvokeError() != LibC.Interrupted)
                {
                    throw n == 0
                        ? new BlockException(ErrorCode.NoSpace, $"Could not write to '{Path}': nothing was written", Path, offset)
                        : Failure($"Could not write to '{Path}'", offset);
                }
            }
        }
    }

    internal override bool TryZero(long offset, long length, bool unmap)
    {
        if (IsDevice)
        {
            if (zeroUnsupported == 0)
            {
                var range = stackalloc ulong[2] { (ulong)offset, (ulong)length };
                if (LibC.Control(fd, LibC.BlockZeroOut, range) == 0)
                {
                    return true;
                }

                zeroUnsupported = 1;
            }

            return false;
        }

        if (unmap && TryDiscard(offset, length))
        {
            return true;
        }

        if (zeroUnsupported == 0)
        {
            if (Allocate(LibC.ZeroRange | LibC.KeepSize, offset, length))
            {
                return true;
            }

            zeroUnsupported = 1;
        }

        // A file system without ZERO_RANGE can punch a hole and fill it with allocated, unwritten space.
        return TryDiscard(offset, length) && TryAllocate(offset, length);
    }

    internal override bool TryDiscard(long offset, long length)
    {
        if (punchUnsupported != 0)
        {
            return false;
        }

        if (IsDevice)
        {
            var range = stackalloc ulong[2] { (ulong)offset, (ulong)length };
            if (LibC.Control(fd, LibC.BlockDiscard, range) == 0)
            {
                return true;
            }
        }
        else if (Allocate(LibC.PunchHole | LibC.KeepSize, offset, length))
        {
            return true;
        }

        punchUnsupported = 1;
        return false;
    }

    internal override bool TryAllocate(long offset, long length) => !IsDevice && Allocate(0, offset, length);

    internal override void SetLength(long length)
    {
        int result;
        do
        {
            result = LibC.Truncate(fd, length);
        }
        while (result < 0 && Marshal.GetLastPInvokeError() == LibC.Interrupted);
        if (result < 0)
        {
            throw Failure($"Could not resize '{Path}'", null);
        }
    }

    internal override void Sync()
    {
        int result;
        do
        {
            result = LibC.DataSync(fd);
        }
        while (result < 0 && Marshal.GetLastPInvokeError() == LibC.Interrupted);
        if (result < 0 && Marshal.GetLastPInvokeError() != LibC.Invalid)
        {
            throw Failure($"Could not flush '{Path}'", null);
        }
    }

    internal override bool TryFindRun(long offset, out bool isData, out long end)
    {
        isData = true;
        end = 0;
        if (IsDevice)
        {
            return false;
        }

        var data = LibC.Seek(fd, offset, LibC.SeekData);
        if (data < 0)
        {
            if (Marshal.GetLastPInvokeError() != LibC.NoDeviceData)
            {
                return false;
            }

            isData = false; // no data from here to the end
            end = Math.Max(QueryLength(), offset + 1);
            return true;
        }

        if (data > offset)
        {
            isData = false;
            end = data;
            return true;
        }

        var hole = LibC.Seek(fd, offset, LibC.SeekHole);
        if (hole <= offset)
        {
            return false; // the file shrank meanwhile, or the call failed
        }

        end = hole;
        return true;
    }

    internal override bool MayShareWith(HostFile source)
    {
        if (source is not LinuxFile from || IsDevice || from.IsDevice || Alignment > 1)
        {
            return false;
        }

        // A range that no file system shares, for it is not aligned and past the end; what cannot share at all says so before.
        LibC.CloneRangeArgument argument = new() { SourceFd = from.fd, SourceOffset = (1UL << 62) + 1, SourceLength = 1, TargetOffset = 1 };
        return LibC.Control(fd, LibC.CloneRange, &argument) == 0 || Marshal.GetLastPInvokeError() == LibC.Invalid;
    }

    internal override long CopyFrom(HostFile source, long sourceOffset, long offset, long length, CopyRangeMode mode)
    {
        if (source is not LinuxFile from || IsDevice || from.IsDevice || Alignment > 1)
        {
            return 0;
        }

        if (cloneUnsupported == 0)
        {
            LibC.CloneRangeArgument argument = new()
            {
                SourceFd = from.fd,
                SourceOffset = (ulong)sourceOffset,
                SourceLength = (ulong)length,
                TargetOffset = (ulong)offset,
            };
            if (LibC.Control(fd, LibC.CloneRange, &argument) == 0)
            {
                return length;
            }

            // EINVAL says that this range is not aligned to the file system's blocks; the others, that it never will do.
            if (Marshal.GetLastPInvokeError() != LibC.Invalid)
            {
                cloneUnsupported = 1;
            }
        }

        if (mode == CopyRangeMode.ReflinkOnly || copyUnsupported != 0)
        {
            return 0;
        }

        long done = 0;
        while (done < length)
        {
            long inAt = sourceOffset + done;
            long outAt = offset + done;
            var n = LibC.CopyFileRange(from.fd, &inAt, fd, &outAt, (nint)Math.Min(length - done, 1L << 30), 0);
            if (n > 0)
            {
                done += n;
                continue;
            }

            if (n == 0)
            {
                break; // the source ends here
            }

            var errno = Marshal.GetLastPInvokeError();
            if (errno == LibC.Interrupted)
            {
                continue;
            }

            if (errno is 28 or 5 or 27 or 122)
            {
                throw Failure($"Could not write to '{Path}'", outAt);
            }

            copyUnsupported = 1;
            break;
        }

        return done;
    }

    internal override void PrepareLocks(PermissionSet permissions) => locks?.Prepare(permissions);

    internal override void CommitLocks() => locks?.Commit();

    internal override void AbortLocks() => locks?.Abort();

    public override void Dispose()
    {
        if (!handle.IsClosed)
        {
            locks?.Close();
        }

        handle.Dispose();
    }

    private bool Allocate(int mode, long offset, long length)
    {
        while (true)
        {
            if (LibC.Allocate(fd, mode, offset, length) == 0)
            {
                return true;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case LibC.Interrupted:
                    continue;
                case 28 or 5 or 27 or 122:
                    throw Failure($"Could not allocate space in '{Path}'", offset);
                default:
                    return false;
            }
        }
    }

    private BlockException Failure(string message, long? offset) =>
        BlockException.FromErrno(Marshal.GetLastPInvokeError(), message, Path, offset);
}
