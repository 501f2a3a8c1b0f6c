namespace Byre.Jobs;

/// <summary>Holds threads back so that no more than so many bytes a second pass, after a tenth of a second's worth at once.</summary>
internal sealed class RateLimiter
{
    private readonly Lock gate = new();
    private readonly TimeProvider time;
    private readonly double ticksPerByte;
    private readonly long burst;
    private long next; // when what passed so far is paid for

    /// <summary>Makes one.</summary>
    /// <param name="bytesPerSecond">At least 1.</param>
    /// <param name="time">The clock.</param>
    public RateLimiter(long bytesPerSecond, TimeProvider? time = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytesPerSecond, 1);
        this.time = time ?? TimeProvider.System;
        ticksPerByte = (double)this.time.TimestampFrequency / bytesPerSecond;
        burst = this.time.TimestampFrequency / 10;
        next = this.time.GetTimestamp() - burst;
    }

    /// <summary>Books bytes; what is to be waited before they may pass.</summary>
    public TimeSpan Book(long bytes)
    {
        lock (gate)
        {
            var now = time.GetTimestamp();
            next = Math.Max(next, now - burst);
            var wait = Math.Max(0, next - now);
            next += (long)Math.Min(bytes * ticksPerByte, long.MaxValue / 4.0);
            return TimeSpan.FromSeconds((double)wait / time.TimestampFrequency);
        }
    }

    /// <summary>Waits until the bytes may pass.</summary>
    /// <exception cref="OperationCanceledException">The wait was given up.</exception>
    public void Wait(long bytes, CancellationToken cancellation)
    {
        var wait = Book(bytes);
        var longest = TimeSpan.FromHours(1);
        while (wait > TimeSpan.Zero)
        {
            cancellation.WaitHandle.WaitOne(wait < longest ? wait : longest);
            cancellation.ThrowIfCancellationRequested();
            wait -= longest;
        }
    }
}
