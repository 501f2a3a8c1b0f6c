using Byre.Nodes;

namespace Byre.Tests.Requests;

/// <summary>A node whose requests complete when the test says so. It checks that leases keep their promise.</summary>
internal sealed class GatedNode(long length) : BlockNode
{
    private readonly Lock gate = new();
    private readonly List<Pending> pending = [];

    public override string DriverName => "gated";

    public override string FileName => "gated";

    public override long Length => length;

    /// <summary>Syncs, too, complete when the test says so.</summary>
    public bool GatesSyncs { get; set; }

    public int Syncs { get; private set; }

    /// <summary>The requests that the node has been given and not completed.</summary>
    public IReadOnlyList<Pending> InFlight
    {
        get
        {
            lock (gate)
            {
                return [.. pending];
            }
        }
    }

    public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => Begin("read", offset, buffer.Length);

    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => Begin("write", offset, data.Length);

    public override ValueTask SyncAsync()
    {
        Syncs++;
        return GatesSyncs ? Begin("sync", 0, 0) : default;
    }

    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision) => throw new NotSupportedException();

    /// <summary>Completes one of the requests in flight.</summary>
    public void Complete(Pending request, Exception? failure = null)
    {
        lock (gate)
        {
            Assert.True(pending.Remove(request));
        }

        if (failure is null)
        {
            request.Done.SetResult();
        }
        else
        {
            request.Done.SetException(failure);
        }
    }

    /// <summary>Completes all that is in flight.</summary>
    public void CompleteAll()
    {
        foreach (var request in InFlight)
        {
            Complete(request);
        }
    }

    private ValueTask Begin(string kind, long offset, long count)
    {
        var request = new Pending(kind, offset, count);
        lock (gate)
        {
            pending.Add(request);
        }

        return new ValueTask(request.Done.Task);
    }

    internal sealed record Pending(string Kind, long Offset, long Length)
    {
        public TaskCompletionSource Done { get; } = new();
    }
}
