using System.Runtime.InteropServices;
using Byre.Nodes;

namespace Byre.Storage.Linux;

/// <summary>
/// Follows the writes to a file through the page cache: what lies 16 windows of a MiB back is sent to the device
/// (sync_file_range(2)), what lies 64 back is waited for and leaves the cache (posix_fadvise(2)). So a long copy keeps using
/// the same 64 MiB of memory. It promises nothing of stable storage: a window may be written to again, and is followed anew then.
/// </summary>
/// <param name="fd">The file's descriptor; it stays its owner's.</param>
/// <param name="path">Its path, for errors.</param>
internal sealed class WriteBehind(int fd, string path)
{
    private const int WindowShift = 20;
    private const int FreshWindows = 16;
    private const int StartedWindows = 48;

    private readonly Lock gate = new();
    private readonly Queue<long> fresh = new(FreshWindows + 1);
    private readonly Queue<long> started = new(StartedWindows + 1);
    private volatile bool unsupported;

    /// <summary>Something was written. Waits for the device where much is on its way to it.</summary>
    /// <param name="offset">Where, in bytes.</param>
    /// <param name="length">How much, in bytes; at least 1.</param>
    /// <exception cref="BlockException">What was written before could not be brought to the device.</exception>
    internal void Wrote(long offset, long length)
    {
        var last = (offset + length - 1) >> WindowShift;
        for (var window = offset >> WindowShift; window <= last && !unsupported; window++)
        {
            Follow(window);
        }
    }

    private void Follow(long window)
    {
        var starts = -1L;
        var leaves = -1L;
        lock (gate)
        {
            if (fresh.Contains(window))
            {
                return;
            }

            fresh.Enqueue(window);
            if (fresh.Count > FreshWindows)
            {
                starts = fresh.Dequeue();
                started.Enqueue(starts);
                leaves = started.Count > StartedWindows ? started.Dequeue() : -1;
            }
        }

        if (starts >= 0)
        {
            Sync(starts, LibC.SyncStart);
        }

        if (leaves >= 0)
        {
            Sync(leaves, LibC.SyncWhole);
            _ = LibC.Advise(fd, leaves << WindowShift, 1L << WindowShift, LibC.NotNeeded); // a wish: it stays where it cannot go
        }
    }

    private void Sync(long window, uint flags)
    {
        if (LibC.SyncFileRange(fd, window << WindowShift, 1L << WindowShift, flags) == 0)
        {
            return;
        }

        var errno = Marshal.GetLastPInvokeError();
        if (LibC.IsStorageFailure(errno))
        {
            // The kernel tells of a failed write-back once: who flushes later would not hear of it.
            throw BlockException.FromErrno(errno, $"Could not write to '{path}'", path, window << WindowShift);
        }

        unsupported |= errno != LibC.Interrupted;
    }
}
