using Byre.Nodes;

namespace Byre.Storage;

/// <summary>What a file node needs of the operating system; every call works on the caller's thread and may wait.</summary>
internal abstract class HostFile : IDisposable
{
    /// <summary>The file's path, for errors.</summary>
    internal abstract string Path { get; }

    /// <summary>Opened for reading only.</summary>
    internal abstract bool IsReadOnly { get; }

    /// <summary>A device: its length is fixed.</summary>
    internal abstract bool IsDevice { get; }

    /// <summary>Offsets and lengths of I/O must be multiples of it (1 through the page cache).</summary>
    internal abstract int Alignment { get; }

    /// <summary>Addresses of buffers must be multiples of it.</summary>
    internal abstract int MemoryAlignment { get; }

    /// <summary>The length now, in bytes.</summary>
    internal abstract long QueryLength();

    /// <summary>Bytes occupied on the host, or -1 where unknown.</summary>
    internal abstract long QueryAllocated();

    /// <summary>Identity of the file on this machine, so that two names of one file are known as one; 0,0 where unknown.</summary>
    internal abstract (ulong Device, ulong Inode) Identity { get; }

    /// <summary>Reads what is in memory already.</summary>
    /// <returns>Bytes read from the front (0 at the end of the file), or -1 where reading would wait.</returns>
    internal abstract int ReadNow(long offset, Span<byte> buffer);

    /// <summary>Reads until the buffer is full or the file ends; returns the bytes read.</summary>
    internal abstract int Read(long offset, Span<byte> buffer);

    /// <summary>Writes all of it.</summary>
    internal abstract void Write(long offset, ReadOnlySpan<byte> data);

    /// <summary>Makes a range read as zero without writing it; with <paramref name="unmap"/> its space is given back.</summary>
    /// <returns>False where the file system cannot.</returns>
    internal abstract bool TryZero(long offset, long length, bool unmap);

    /// <summary>Gives space back, if that can be done; the range then reads as zero.</summary>
    internal abstract bool TryDiscard(long offset, long length);

    /// <summary>Allocates space for a range without changing what it reads as; false where that cannot be done.</summary>
    internal abstract bool TryAllocate(long offset, long length);

    /// <summary>Changes the length.</summary>
    internal abstract void SetLength(long length);

    /// <summary>Everything written is on stable storage.</summary>
    internal abstract void Sync();

    /// <summary>Finds where <paramref name="offset"/>'s run of data or hole ends.</summary>
    /// <returns>False where the file system cannot tell; else whether it is data, and the first byte after the run.</returns>
    internal abstract bool TryFindRun(long offset, out bool isData, out long end);

    /// <summary>Whether the file system may share blocks of another file with this one. Asks it, and writes nothing.</summary>
    internal virtual bool MayShareWith(HostFile source) => false;

    /// <summary>Copies from another file inside the kernel; returns the bytes copied, 0 where that cannot be done.</summary>
    internal abstract long CopyFrom(HostFile source, long sourceOffset, long offset, long length, CopyRangeMode mode);

    /// <summary>Takes the locks for a new permission set (see PermissionLocks).</summary>
    internal abstract void PrepareLocks(PermissionSet permissions);

    /// <summary>The prepared set holds.</summary>
    internal abstract void CommitLocks();

    /// <summary>The prepared set was given up.</summary>
    internal abstract void AbortLocks();

    /// <inheritdoc/>
    public abstract void Dispose();
}
