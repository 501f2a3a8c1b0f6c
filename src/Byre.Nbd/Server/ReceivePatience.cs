using System.Diagnostics;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// How long a connection's thread looks for the next request before it sleeps in the kernel. A client that sends its next
/// request as soon as it has the answer is served without the time that it takes to wake a thread, which is most of the
/// latency of a small request; a client that does not is waited for asleep.
/// </summary>
/// <remarks>
/// The time is learnt from the waits themselves: it grows while they are short, and one long wait ends it. It yields the
/// processor between two looks, and never more threads look than there are processors beside one. Only the connection's
/// thread uses it.
/// </remarks>
/// <param name="lookers">How many threads look at this moment, of all connections.</param>
internal sealed class ReceivePatience(ReceivePatience.Lookers lookers)
{
    // Waits up to this long, which include the time to wake up, are worth looking for.
    private static readonly long ShortWait = Stopwatch.Frequency / 5000;
    private static readonly long MostLooking = Stopwatch.Frequency / 10000;
    private static readonly long FirstLooking = Stopwatch.Frequency / 50000;

    private long looking;

    /// <summary>Receives what comes, waiting for at least one byte.</summary>
    /// <param name="channel">Where from.</param>
    /// <param name="buffer">Not empty.</param>
    /// <returns>As <see cref="SocketChannel.Receive(Span{byte})"/>.</returns>
    /// <exception cref="IOException">The connection failed.</exception>
    public int Receive(SocketChannel channel, Span<byte> buffer)
    {
        var began = Stopwatch.GetTimestamp();
        if (looking > 0 && lookers.TryEnter())
        {
            try
            {
                do
                {
                    var here = channel.TryReceive(buffer);
                    if (here >= 0)
                    {
                        return here;
                    }

                    Thread.Yield();
                }
                while (Stopwatch.GetTimestamp() - began < looking);
            }
            finally
            {
                lookers.Leave();
            }
        }

        var count = channel.Receive(buffer);
        var waited = Stopwatch.GetTimestamp() - began;
        looking = waited > ShortWait ? 0 : Math.Clamp(2 * looking, FirstLooking, MostLooking);
        return count;
    }

    /// <summary>Counts the threads that look; shared by the connections of a server.</summary>
    internal sealed class Lookers
    {
        private readonly int most = Environment.ProcessorCount - 1;
        private int count;

        /// <summary>Begins to look, if not too many do.</summary>
        public bool TryEnter()
        {
            if (Interlocked.Increment(ref count) <= most)
            {
                return true;
            }

            Interlocked.Decrement(ref count);
            return false;
        }

        /// <summary>Ends to look.</summary>
        public void Leave() => Interlocked.Decrement(ref count);
    }
}
