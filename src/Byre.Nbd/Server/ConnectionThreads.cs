namespace Byre.Nbd.Server;

/// <summary>
/// Threads that may wait in the kernel, one for each connection that is busy. They are not the runtime's: a client that makes
/// one wait takes nothing from anybody else. A thread without work ends after a while.
/// </summary>
/// <param name="start">Starts a thread that runs what it is given; null for the system's threads.</param>
/// <remarks>Lock order: <c>gate</c> is a leaf.</remarks>
internal sealed class ConnectionThreads(Action<ThreadStart>? start = null)
{
    // Beyond it connections wait for a thread; far more than a machine runs at a time.
    private const int MostThreads = 4096;
    private const int StackSize = 512 << 10;
    private const int PatienceMilliseconds = 5000;

    private readonly Action<ThreadStart> start = start ?? StartThread;
    private readonly object gate = new();
    private readonly Queue<ServerConnection> ready = new();
    private int threads;
    private int waiting;

    /// <summary>Runs a connection soon. Where the system has no thread for it, it is closed.</summary>
    public void Start(ServerConnection connection)
    {
        lock (gate)
        {
            if (waiting > ready.Count || threads == MostThreads)
            {
                ready.Enqueue(connection);
                Monitor.Pulse(gate);
                return;
            }

            threads++;
        }

        try
        {
            start(() => Work(connection));
        }
        catch (Exception e) when (e is OutOfMemoryException or ThreadStartException)
        {
            lock (gate)
            {
                threads--;
            }

            connection.Close(new IOException("the system has no thread for it", e));
        }
    }

    private static void StartThread(ThreadStart work) => new Thread(work, StackSize) { IsBackground = true, Name = "nbd connection" }.Start();

    private void Work(ServerConnection first)
    {
        for (var connection = first; connection is not null; connection = Next())
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
