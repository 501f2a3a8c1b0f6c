namespace Byre.Filters;

/// <summary>The clock of one or several write logs: it advances by one whenever something begins, ends or is marked.</summary>
public sealed class WriteLogClock
{
    private long now;

    /// <summary>The tick at which something happened last; 0 at first.</summary>
    public long Now => Volatile.Read(ref now);

    /// <summary>Something happens.</summary>
    /// <returns>Its tick, which nothing else has.</returns>
    public long Advance() => Interlocked.Increment(ref now);
}
