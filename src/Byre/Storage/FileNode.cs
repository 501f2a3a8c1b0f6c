using Byre.Nodes;
using Byre.Storage.Linux;

namespace Byre.Storage;

/// <summary>
/// A host file or device. Reads of what is in the page cache complete inline; what would wait runs on the thread
/// pool (unless <see cref="FileNodeOptions.Blocking"/>). Writes through the page cache are copies and run inline.
/// </summary>
public sealed class FileNode : BlockNode, ICopyRangeTarget
{
    private readonly HostFile file;
    private readonly FileNodeOptions options;
    private readonly LastRun lastRun;
    private long length;

    private FileNode(HostFile file, FileNodeOptions options)
    {
        this.file = file;
        this.options = options;
        lastRun = new LastRun(file);
        length = file.QueryLength();
        Limits = new BlockLimits
        {
            RequestAlignment = file.Alignment,
            MemoryAlignment = file.MemoryAlignment,
            DiscardAlignment = file.IsDevice ? Math.Max(512, file.Alignment) : 1,
            WriteZeroesAlignment = file.IsDevice ? Math.Max(512, file.Alignment) : 1,
        };
    }

    /// <inheritdoc/>
    public override string DriverName => file.IsDevice ? "host_device" : "file";

    /// <inheritdoc/>
    public override string FileName => options.Path;

    /// <inheritdoc/>
    public override long Length => Volatile.Read(ref length);

    /// <inheritdoc/>
    public override bool IsReadOnly => file.IsReadOnly;

    /// <inheritdoc/>
    public override bool GrowsOnWrite => !file.IsDevice;

    /// <inheritdoc/>
    public override BlockLimits Limits { get; }

    /// <summary>The options it was opened with.</summary>
    public FileNodeOptions Options => options;

    /// <summary>Identity of the file on this machine, so that two names of one file are known as one.</summary>
    public (ulong Device, ulong Inode) Identity => file.Identity;

    /// <summary>Bytes occupied on the host, or -1 where unknown.</summary>
    public long AllocatedBytes => file.QueryAllocated();

    /// <summary>A device, whose length is fixed.</summary>
    public bool IsDevice => file.IsDevice;

    /// <summary>Opens an existing file or device.</summary>
    /// <exception cref="BlockException">It cannot be opened; the message names it.</exception>
    public static FileNode Open(FileNodeOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        HostFile file = OperatingSystem.IsLinux() && !options.Portable
            ? LinuxFileOpener.Open(options.Path, options.ReadOnly, options.AutoReadOnly, options.Cache.Direct, options.Locking)
            : PortableFile.Open(options.Path, options.ReadOnly, options.AutoReadOnly, FileMode.Open);
        return Wrap(file, options);
    }

    /// <summary>Makes a file of a length; an existing one is emptied once it is locked, so one in use is never harmed.</summary>
    /// <param name="options">The path and how to use it; ReadOnly is ignored.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="preallocation">Off: sparse. Falloc: space allocated. Full: every byte written.</param>
    /// <param name="noCow">Asks a copy-on-write file system to overwrite in place.</param>
    /// <exception cref="BlockException">It cannot be made; a file that was not there before is removed again.</exception>
    public static FileNode Create(FileNodeOptions options, long length, Preallocation preallocation = Preallocation.Off, bool noCow = false)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        var existed = File.Exists(options.Path);
        HostFile file = OperatingSystem.IsLinux() && !options.Portable
            ? LinuxFileOpener.Create(options.Path, options.Locking)
            : PortableFile.Open(options.Path, readOnly: false, autoReadOnly: false, FileMode.OpenOrCreate);
        try
        {
            if (!file.IsDevice)
            {
                file.PrepareLocks(new PermissionSet(Permissions.Write | Permissions.Resize, Permissions.All & ~(Permissions.Write | Permissions.Resize)));
                if (file.QueryLength() != 0)
                {
                    file.SetLength(0); // of an empty file even that counts: ext4 writes what it holds then when it is closed
                }

                if (noCow && file is LinuxFile linux)
                {
                    linux.TrySetNoCow();
                }

                file.SetLength(length);
                FilePreallocation.Run(file, 0, length, preallocation);
                file.AbortLocks();
            }
            else if (file.QueryLength() < length)
            {
                throw new BlockException(
                    ErrorCode.NoSpace, $"The device '{options.Path}' is smaller than {length} bytes", options.Path);
            }

            return Wrap(file, options with { ReadOnly = false });
        }
        catch (BlockException e)
        {
            file.Dispose();
            if (!existed && e.Code != ErrorCode.Locked)
            {
                File.Delete(options.Path);
            }

            throw;
        }
    }

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        if (options.Blocking)
        {
            ReadAndFill(offset, buffer.Span);
            return default;
        }

        var n = file.ReadNow(offset, buffer.Span);
        return n == buffer.Length ? default : ReadRest(offset, buffer, Math.Max(n, 0));
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        if (!options.Blocking && options.Cache.Direct)
        {
            return new(Task.Run(() => WriteNow(offset, data.Span)));
        }

        WriteNow(offset, data.Span);
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        var end = offset + length;
        var before = Length;
        if (!file.IsDevice && offset >= before)
        {
            // Past the end a longer file reads as zeroes by itself; space is taken only where it was asked for.
            Grow(end);
            if ((flags & WriteFlags.MayUnmap) == 0)
            {
                file.TryAllocate(offset, length);
            }

            lastRun.Forget(offset, end);
            return new(true);
        }

        var done = file.TryZero(offset, length, (flags & WriteFlags.MayUnmap) != 0 && options.DiscardUnmap);
        if (done)
        {
            if (end > before)
            {
                Grow(end);
            }

            lastRun.Forget(offset, end);
        }

        return new(done);
    }

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length)
    {
        if (options.DiscardUnmap && file.TryDiscard(offset, length))
        {
            lastRun.Forget(offset, offset + length);
        }

        return default;
    }

    /// <inheritdoc/>
    public override ValueTask SyncAsync()
    {
        if (options.Cache.NoFlush || file.IsReadOnly)
        {
            return default;
        }

        if (options.Blocking)
        {
            file.Sync();
            return default;
        }

        return new(Task.Run(file.Sync));
    }

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        while (!extents.IsFull)
        {
            var at = extents.End;
            var run = lastRun.At(at);
            extents.Add(new BlockExtent(
                at,
                Math.Min(run.End, extents.RangeEnd) - at,
                run.IsData ? ExtentState.Data : ExtentState.Zero,
                run.IsData ? ExtentFlags.None : ExtentFlags.Hole,
                at,
                this,
                1));
        }

        return default;
    }

    /// <inheritdoc/>
    public override ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        if (file.IsDevice)
        {
            if (length > Length)
            {
                throw new BlockException(ErrorCode.Invalid, $"Cannot grow the device '{options.Path}'", options.Path);
            }

            return default;
        }

        var before = Length;
        if (preallocation != Preallocation.Off && length < before)
        {
            throw new BlockException(
                ErrorCode.Invalid, $"Preallocation is for space that a file gains, and '{options.Path}' shrinks", options.Path);
        }

        file.SetLength(length);
        lastRun.Forget(Math.Min(before, length), long.MaxValue);
        try
        {
            if (length > before)
            {
                FilePreallocation.Run(file, before, length - before, preallocation);
            }
        }
        catch (BlockException)
        {
            file.SetLength(before);
            throw;
        }

        Volatile.Write(ref this.length, length);
        return default;
    }

    /// <inheritdoc/>
    public ValueTask<long> CopyRangeAsync(long offset, BlockNode source, long sourceOffset, long length, CopyRangeMode mode)
    {
        if (source is not FileNode from)
        {
            return new(0L);
        }

        var n = file.CopyFrom(from.file, sourceOffset, offset, length, mode);
        if (n > 0)
        {
            Grow(offset + n);
            lastRun.Forget(offset, offset + n);
        }

        return new(n);
    }

    /// <inheritdoc/>
    public bool MayShareBlocks(BlockNode source) => source is FileNode from && file.MayShareWith(from.file);

    /// <inheritdoc/>
    public override void PreparePermissions(PermissionSet permissions) => file.PrepareLocks(permissions);

    /// <inheritdoc/>
    public override void CommitPermissions() => file.CommitLocks();

    /// <inheritdoc/>
    public override void AbortPermissions() => file.AbortLocks();

    /// <inheritdoc/>
    public override ValueTask DisposeAsync()
    {
        file.Dispose();
        return base.DisposeAsync();
    }

    private static FileNode Wrap(HostFile file, FileNodeOptions options)
    {
        try
        {
            if (options.WriteBehind && file is LinuxFile linux)
            {
                linux.StartWriteBehind();
            }

            return new FileNode(file, options);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private ValueTask ReadRest(long offset, Memory<byte> buffer, int done)
    {
        if (offset + done >= Length)
        {
            buffer.Span[done..].Clear();
            return default;
        }

        return new(Task.Run(() => ReadAndFill(offset + done, buffer.Span[done..])));
    }

    private void ReadAndFill(long offset, Span<byte> buffer)
    {
        var n = file.Read(offset, buffer);
        if (n < buffer.Length)
        {
            buffer[n..].Clear(); // the file is shorter than it was: what it lacks reads as zeroes
        }
    }

    private void WriteNow(long offset, ReadOnlySpan<byte> data)
    {
        file.Write(offset, data);
        Grow(offset + data.Length);
        lastRun.Forget(offset, offset + data.Length);
    }

    private void Grow(long end)
    {
        var seen = Volatile.Read(ref length);
        while (end > seen)
        {
            // only where zeroes were asked for the file may still end before; a write has extended it already
            var was = Interlocked.CompareExchange(ref length, end, seen);
            if (was == seen)
            {
                if (file.QueryLength() < end)
                {
                    ExtendByZeroes(end);
                }

                return;
            }

            seen = was;
        }
    }

    /// <summary>
    /// Makes the file reach to <paramref name="end"/>, whose last bytes are part of a request for zeroes. By a write, never by
    /// setting the length: that would cut off what another request has written beyond meanwhile.
    /// </summary>
    private void ExtendByZeroes(long end)
    {
        var alignment = end % file.Alignment == 0 ? file.Alignment : 1;
        using var zeroes = BufferPool.Rent(alignment);
        zeroes.Memory.Span.Clear();
        file.Write(end - alignment, zeroes.Memory.Span);
    }
}
