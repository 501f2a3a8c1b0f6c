using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Byre.Crypto;

/// <summary>Finds out how many iterations of PBKDF2 take a wanted time on this machine.</summary>
internal static unsafe partial class PassphraseCost
{
    private const int ThreadTime = 3; // CLOCK_THREAD_CPUTIME_ID
    private const int FirstTry = 1 << 12;
    private const long LongEnough = 60_000_000; // ns: then a clock's steps and the first run's slowness matter little

    /// <summary>Measures, for some tenths of a second at most.</summary>
    /// <param name="digest">The hash.</param>
    /// <param name="keyBytes">Bytes that are derived.</param>
    /// <returns>Iterations in a second, at least 1.</returns>
    public static long IterationsPerSecond(Digest digest, int keyBytes)
    {
        using var key = new SecretBytes(keyBytes);
        ReadOnlySpan<byte> salt = stackalloc byte[32];
        for (var count = FirstTry; ; count *= 4)
        {
            var start = Now();
            digest.Derive("passphrase"u8, salt, count, key.Span);
            var taken = Math.Max(1, Now() - start);
            if (taken >= LongEnough || count > int.MaxValue / 8)
            {
                return Math.Max(1, (long)(count * 1e9 / taken));
            }
        }
    }

    /// <summary>Time that this thread had, so that other work of the machine makes no passphrase weaker.</summary>
    private static long Now()
    {
        if (!OperatingSystem.IsLinux())
        {
            return (long)(Stopwatch.GetTimestamp() * (1e9 / Stopwatch.Frequency));
        }

        var time = stackalloc long[2];
        return ReadClock(ThreadTime, time) == 0 ? (time[0] * 1_000_000_000) + time[1] : 0;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int ReadClock(int clock, long* time);
}
