namespace Byre.Nbd.Server;

/// <summary>
/// Threads that may wait in the kernel, one for each connection that is busy. They are not the runtime's: a client that makes
/// one wait takes nothing from anybody else. A thread without work ends after a while.
/// </summary>
internal sealed class ConnectionThreads
{
    // Beyond it connections wait for a thread; far more than a machine runs at a time.
    private const int MostThreads = 4096;
    private const int StackSize = 512 << 10;
    private const int PatienceMilliseconds = 5000;

    private readonly object gate = new();
    private readonly Queue<ServerConnection> ready = new();
    private int threads;
    private int waiting;

    /// <summary>Runs a connection soon.</summary>
    public void Start(ServerConnection connection)
    {
        lock (gate)
        {
            ready.Enqueue(connection);
            if (waiting >= ready.Count || threads == MostThreads)
            {
                Monitor.Pulse(gate);
                return;
            }

            threads++;
        }

        new Thread(Work, StackSize) { IsBackground = true, Name = "nbd connection" }.Start();
    }

    private void Work()
    {
        while (Next() is { } connection)
        {
            connection.Run();
        }
    }

    private ServerConnection? Next()
    {
        lock (gate)
        {
            while (ready.Count == 0)
            {
                waiting++;
                var isPulsed = Monitor.Wait(gate, PatienceMilliseconds);
                waiting--;
                if (!isPulsed && ready.Count == 0)
                {
                    threads--;
                    return null;
                }
            }

            return ready.Dequeue();
        }
    }
}
