using System.Globalization;

namespace Byre.Fuzz.Nbd;

/// <summary>Runs one session for each of many seeds: each must end, and what all of them allocate is measured.</summary>
internal sealed class FuzzSessions(long mostAllocated)
{
    private const int Seeds = 400;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private volatile bool hangs;

    /// <summary>The first seed.</summary>
    public static int First => int.TryParse(Environment.GetEnvironmentVariable("BYRE_SEED"), CultureInfo.InvariantCulture, out var seed) ? seed : 0;

    /// <summary>A session has not ended: what waits for it would wait for ever.</summary>
    public bool Hangs => hangs;

    /// <summary>Eight at a time: most of their time is waiting.</summary>
    public async Task ForSeedsAsync(Func<int, Task> run)
    {
        var next = First - 1;
        var before = GC.GetTotalAllocatedBytes();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            for (int seed; !hangs && (seed = Interlocked.Increment(ref next)) < First + Seeds;)
            {
                await EndsAsync(seed, OnThread(() => run(seed).GetAwaiter().GetResult()));
            }
        }));
        var each = (GC.GetTotalAllocatedBytes() - before) / Seeds;
        Assert.True(each < mostAllocated, $"a session has {each} bytes allocated");
    }

    /// <summary>
    /// Waits for a session, which has a thread of its own: one that loops without end is left to itself, and fails by name.
    /// </summary>
    public async Task EndsAsync(int seed, Task session)
    {
        if (await Task.WhenAny(session, Task.Delay(Limit)) != session)
        {
            hangs = true;
            Assert.Fail($"seed {seed}: no end after {Limit.TotalSeconds} seconds");
        }

        await session;
    }

    /// <summary>Runs something that waits.</summary>
    public static Task OnThread(Action action) =>
        Task.Factory.StartNew(action, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
