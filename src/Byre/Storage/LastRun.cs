using System.Runtime.CompilerServices;

namespace Byre.Storage;

/// <summary>
/// Remembers the run of data or hole that a file was asked about last, so that one question after the other along the file
/// costs one call to the system a run. Whoever changes a range says so afterwards (<see cref="Forget"/>).
/// </summary>
internal sealed class LastRun(HostFile file)
{
    private readonly Lock runLock = new();
    private FileRun last; // guarded by runLock
    private long lastEnd; // a copy of last.End that writers look at without the lock

    /// <summary>The run that contains a byte; where the file system cannot tell, data without an end.</summary>
    /// <param name="offset">The byte.</param>
    /// <exception cref="Nodes.BlockException">The file could not be asked.</exception>
    internal FileRun At(long offset)
    {
        lock (runLock)
        {
            if (offset >= last.Start && offset < last.End)
            {
                return last;
            }
        }

        var run = file.TryFindRun(offset, out var isData, out var end)
            ? new FileRun(offset, Math.Max(end, offset + 1), isData)
            : new FileRun(offset, long.MaxValue, true);
        lock (runLock)
        {
            last = run;
            Volatile.Write(ref lastEnd, run.End);
        }

        return run;
    }

    /// <summary>A range changed: what was remembered of it is no longer true.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Forget(long start, long end)
    {
        if (Volatile.Read(ref lastEnd) > start)
        {
            ForgetLocked(start, end);
        }
    }

    private void ForgetLocked(long start, long end)
    {
        lock (runLock)
        {
            if (last.Start < end && start < last.End)
            {
                last = default;
                Volatile.Write(ref lastEnd, 0);
            }
        }
    }
}
