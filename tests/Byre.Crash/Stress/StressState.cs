using Byre.Filters;

namespace Byre.Crash.Stress;

/// <summary>What the threads of a stress run share: the model of the disk, and the first problem that one of them found.</summary>
internal sealed class StressState(GuestModel model, int sectors)
{
    private int lastValue;
    private int lastTable = -1;
    private string? problem;
    private int length = sectors;

    public WriteLogClock Clock { get; } = new();

    public SectorLocks Locks { get; } = new();

    /// <summary>The disk's length; it may grow meanwhile.</summary>
    public int Sectors
    {
        get => Volatile.Read(ref length);
        set => Volatile.Write(ref length, value);
    }

    public string? Problem => Volatile.Read(ref problem);

    public int NextValue() => Interlocked.Increment(ref lastValue);

    /// <summary>The table that <see cref="NextTable"/> gave last, or -1.</summary>
    public int LastTable => Volatile.Read(ref lastTable);

    public int NextTable() => Interlocked.Increment(ref lastTable);

    public void Report(string what) => Interlocked.CompareExchange(ref problem, what, null);

    public GuestChange Begin(int value, int first, int count, bool isDiscard, bool isFua)
    {
        lock (model)
        {
            var change = new GuestChange(value, isDiscard, isFua, Clock.Advance());
            model.Add(change, first, count);
            return change;
        }
    }

    public void End(GuestChange change)
    {
        lock (model)
        {
            change.Ended = Clock.Advance();
        }
    }

    public void Flushed(long began)
    {
        lock (model)
        {
            model.AddFlush(began, Clock.Advance());
        }
    }

    public void CheckRead(ReadOnlySpan<byte> data, int first, long began)
    {
        lock (model)
        {
            if (model.VerifyRead(data, first, began, Clock.Advance()) is { } wrong)
            {
                Report($"a read while others wrote: {wrong}");
            }
        }
    }
}
