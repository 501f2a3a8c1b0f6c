namespace Byre.Jobs;

/// <summary>Counts what happens to the bytes, and tells the caller now and then.</summary>
internal sealed class CopyTally(IProgress<CopyProgress>? progress)
{
    private const int MillisecondsBetweenReports = 50;

    private readonly Lock gate = new();
    private long read;
    private long written;
    private long zeroed;
    private long copied;
    private long skipped;
    private long unreadable;
    private long done;
    private long nextReport;

    /// <summary>Bytes of data, once they are counted; -1 where they are not known before the end.</summary>
    public long Total { get; set; }

    /// <summary>Somebody wants to know.</summary>
    public bool IsWatched => progress is not null;

    /// <summary>Bytes were read.</summary>
    public void Read(long bytes) => Interlocked.Add(ref read, bytes);

    /// <summary>Bytes were written as data.</summary>
    public void Write(long bytes) => Interlocked.Add(ref written, bytes);

    /// <summary>Bytes were written as zeroes.</summary>
    public void Zero(long bytes) => Interlocked.Add(ref zeroed, bytes);

    /// <summary>Bytes were copied by the kernel.</summary>
    public void KernelCopy(long bytes) => Interlocked.Add(ref copied, bytes);

    /// <summary>Zeroes that the target holds already were left out.</summary>
    public void Skip(long bytes) => Interlocked.Add(ref skipped, bytes);

    /// <summary>Bytes could not be read and became zeroes.</summary>
    public void Unreadable(long bytes) => Interlocked.Add(ref unreadable, bytes);

    /// <summary>Data is dealt with.</summary>
    public void Finish(long bytes)
    {
        Interlocked.Add(ref done, bytes);
        if (progress is not null && Environment.TickCount64 >= Volatile.Read(ref nextReport))
        {
            Report();
        }
    }

    /// <summary>Tells the caller how far the copy is.</summary>
    public void Report()
    {
        if (progress is null)
        {
            return;
        }

        lock (gate)
        {
            nextReport = Environment.TickCount64 + MillisecondsBetweenReports;
            var now = Interlocked.Read(ref done);
            progress.Report(new CopyProgress(now, Total < 0 ? Total : Math.Max(now, Total)));
        }
    }

    /// <summary>The counts.</summary>
    public CopyResult ToResult(long length) => new()
    {
        Length = length,
        BytesRead = read,
        BytesWritten = written,
        BytesZeroed = zeroed,
        BytesKernelCopied = copied,
        BytesSkipped = skipped,
        BytesUnreadable = unreadable,
    };
}
