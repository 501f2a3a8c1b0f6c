using Byre.Nodes;
using Microsoft.Win32.SafeHandles;

namespace Byre.Storage;

/// <summary>A file through .NET's own API alone: no holes, no locks, no kernel-side copies.</summary>
internal sealed class PortableFile : HostFile
{
    private readonly SafeFileHandle handle;

    private PortableFile(SafeFileHandle handle, string path, bool readOnly)
    {
        this.handle = handle;
        Path = path;
        IsReadOnly = readOnly;
    }

    internal override string Path { get; }

    internal override bool IsReadOnly { get; }

    internal override bool IsDevice => false;

    internal override int Alignment => 1;

    internal override int MemoryAlignment => 1;

    internal override (ulong Device, ulong Inode) Identity => (0, 0);

    /// <summary>Opens, or makes, a file.</summary>
    internal static PortableFile Open(string path, bool readOnly, bool autoReadOnly, FileMode mode)
    {
        try
        {
            return new(File.OpenHandle(path, mode, readOnly ? FileAccess.Read : FileAccess.ReadWrite, FileShare.ReadWrite), path, readOnly);
        }
        catch (UnauthorizedAccessException) when (autoReadOnly && !readOnly)
        {
            return Open(path, readOnly: true, autoReadOnly: false, mode);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Failure(e, $"Could not open '{path}'", path);
        }
    }

    internal override long QueryLength() => RandomAccess.GetLength(handle);

    internal override long QueryAllocated() => -1;

    internal override int ReadNow(long offset, Span<byte> buffer) => -1;

    internal override int Read(long offset, Span<byte> buffer)
    {
        try
        {
            var done = 0;
            while (done < buffer.Length)
            {
                var n = RandomAccess.Read(handle, buffer[done..], offset + done);
                if (n == 0)
                {
                    break;
                }

                done += n;
            }

            return done;
        }
        catch (IOException e)
        {
            throw Failure(e, $"Could not read from '{Path}'", Path);
        }
    }

    internal override void Write(long offset, ReadOnlySpan<byte> data)
    {
        try
        {
            RandomAccess.Write(handle, data, offset);
        }
        catch (IOException e)
        {
            throw Failure(e, $"Could not write to '{Path}'", Path);
        }
    }

    internal override bool TryZero(long offset, long length, bool unmap) => false;

    internal override bool TryDiscard(long offset, long length) => false;

    internal override bool TryAllocate(long offset, long length) => false;

    internal override void SetLength(long length)
    {
        try
        {
            RandomAccess.SetLength(handle, length);
        }
        catch (IOException e)
        {
            throw Failure(e, $"Could not resize '{Path}'", Path);
        }
    }

    internal override void Sync() => RandomAccess.FlushToDisk(handle);

    internal override bool TryFindRun(long offset, out bool isData, out long end)
    {
        isData = true;
        end = 0;
        return false;
    }

    internal override long CopyFrom(HostFile source, long sourceOffset, long offset, long length, CopyRangeMode mode) => 0;

    internal override void PrepareLocks(PermissionSet permissions)
    {
    }

    internal override void CommitLocks()
    {
    }

    internal override void AbortLocks()
    {
    }

    public override void Dispose() => handle.Dispose();

    private static BlockException Failure(Exception e, string message, string path) => new(
        e switch
        {
            FileNotFoundException or DirectoryNotFoundException => ErrorCode.NotFound,
            UnauthorizedAccessException => ErrorCode.AccessDenied,
            IOException { HResult: 28 or unchecked((int)0x80070070) } => ErrorCode.NoSpace,
            _ => ErrorCode.Io,
        },
        $"{message}: {e.Message}",
        path,
        inner: e);
}
