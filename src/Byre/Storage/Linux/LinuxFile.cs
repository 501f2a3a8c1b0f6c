using System.Runtime.InteropServices;
using Byre.Nodes;
using Microsoft.Win32.SafeHandles;

namespace Byre.Storage.Linux;

/// <summary>A file or device through Linux's own calls. See the named man pages for each call's contract.</summary>
internal sealed unsafe class LinuxFile : HostFile
{
    private const int CachedPiece = 256 << 10; // a power of two
    private const int ProbeAlignment = 4096;

    private readonly SafeFileHandle handle;
    private readonly int fd;
    private readonly FileStatus status;
    private readonly PermissionLocks? locks;
    private readonly FileSpace space;
    private readonly FileRuns runs;
    private readonly FileCopy copy;
    private WriteBehind? behind;
    private bool noWaitUnsupported;

    /// <summary>Takes an open file over: closes it when it is disposed.</summary>
    /// <param name="handle">The open file; its descriptor does not change.</param>
    /// <param name="path">Its path, for errors.</param>
    /// <param name="readOnly">Opened for reading only.</param>
    /// <param name="status">What the system says of it: a regular file, a block device, or a character device, which counts as an empty disk.</param>
    /// <param name="direct">Opened with O_DIRECT: requests are whole blocks.</param>
    /// <param name="locking">Permissions are held as locks on the file.</param>
    internal LinuxFile(SafeFileHandle handle, string path, bool readOnly, FileStatus status, bool direct, bool locking)
    {
        this.handle = handle;
        fd = (int)handle.DangerousGetHandle();
        Path = path;
        IsReadOnly = readOnly;
        this.status = status;
        locks = locking ? new PermissionLocks(fd, path) : null;
        space = new FileSpace(fd, path, IsDevice);
        runs = new FileRuns(fd, path);
        copy = new FileCopy(fd, path);
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
    }

    internal override string Path { get; }

    internal override bool IsReadOnly { get; }

    internal override bool IsDevice => status.Kind != FileKind.Regular;

    internal override int Alignment { get; }

    internal override int MemoryAlignment { get; }

    internal override (ulong Device, ulong Inode) Identity => (status.Device, status.Inode);

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

    /// <summary>What is written from now on leaves the page cache soon, see <see cref="WriteBehind"/>. Without the cache it does nothing.</summary>
    internal void StartWriteBehind() => behind = Alignment > 1 ? null : new WriteBehind(fd, Path);

    internal override long QueryLength()
    {
        if (!IsDevice)
        {
            return FileStatus.Of(fd, Path).Size;
        }

        long size = 0;
        return status.Kind == FileKind.CharacterDevice || LibC.Control(fd, LibC.BlockGetSize64, &size) == 0
            ? size
            : throw Failure($"Could not get the size of '{Path}'", null);
    }

    internal override long QueryAllocated() => IsDevice ? 0 : FileStatus.Of(fd, Path).AllocatedBytes;

    internal override int ReadNow(long offset, Span<byte> buffer)
    {
        if (noWaitUnsupported || Rest(buffer.Length) != 0)
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
                noWaitUnsupported = true;
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
                var n = LibC.Pwrite(fd, p + done, PieceOf(offset + done, data.Length - done), offset + done);
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

        behind?.Wrote(offset, data.Length);
    }

    /// <summary>
    /// How much is written with one call. Through the page cache a longer call gets greater runs of memory, which a virtual
    /// machine has mostly given back to its host and gets again page by page: a MiB at a time takes up to seven times as long.
    /// </summary>
    private int PieceOf(long offset, int length) =>
        Alignment > 1 ? length : Math.Min(length, CachedPiece - (int)(offset & (CachedPiece - 1)));

    internal override bool TryZero(long offset, long length, bool unmap) => space.TryZero(offset, length, unmap);

    internal override bool TryDiscard(long offset, long length) => space.TryDiscard(offset, length);

    internal override bool TryAllocate(long offset, long length) => space.TryAllocate(offset, length);

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
        if (IsDevice)
        {
            isData = true;
            end = 0;
            return false;
        }

        return runs.TryFind(offset, out isData, out end);
    }

    internal override bool MayShareWith(HostFile source) => CopySource(source) is { } from && copy.MayShareWith(from.fd);

    internal override long CopyFrom(HostFile source, long sourceOffset, long offset, long length, CopyRangeMode mode)
    {
        // With O_DIRECT blocks are shared only: a copy would go through the page cache.
        mode = Alignment > 1 ? CopyRangeMode.ReflinkOnly : mode;
        return CopySource(source) is { } from ? copy.Copy(from.fd, sourceOffset, offset, length, mode) : 0;
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

    /// <summary>The file behind <paramref name="source"/>, where the kernel may copy from it to this one: both are regular.</summary>
    private LinuxFile? CopySource(HostFile source) =>
        source is LinuxFile from && !IsDevice && !from.IsDevice ? from : null;

    private BlockException Failure(string message, long? offset) =>
        BlockException.FromErrno(Marshal.GetLastPInvokeError(), message, Path, offset);
}
