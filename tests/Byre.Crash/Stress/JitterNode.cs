using Byre.Filters;
using Byre.Nodes;

namespace Byre.Crash.Stress;

/// <summary>A filter that holds some requests up, so that what stands on it is overtaken at every point; it may let some fail.</summary>
/// <param name="below">The node below.</param>
/// <param name="fails">One request of so many fails; 0: none.</param>
internal sealed class JitterNode(BlockNode below, int fails) : FilterNode(
    new BlockEdge(below, ChildRole.Filtered | ChildRole.Primary, new(Permissions.All, Permissions.All), "file"))
{
    private uint count;
    private int requests;

    /// <summary>Whether requests fail as told.</summary>
    public bool Fails { get; set; }

    public override string DriverName => "jitter";

    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        await PauseAsync();
        await base.ReadAsync(offset, buffer);
        await PauseAsync();
    }

    public override async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        await PauseAsync();
        await base.WriteAsync(offset, data, flags);
        await PauseAsync();
    }

    public override async ValueTask SyncAsync()
    {
        await PauseAsync();
        await base.SyncAsync();
        await PauseAsync();
    }

    private async ValueTask PauseAsync()
    {
        if (fails > 0 && Fails && Interlocked.Increment(ref requests) % fails == 0)
        {
            throw new BlockException(ErrorCode.Io, "a request that was to fail");
        }

        switch ((Interlocked.Increment(ref count) * 2654435761) >> 24)
        {
            case < 24:
                await Task.Yield();
                break;
            case < 28:
                await Task.Delay(1);
                break;
            case < 48:
                Thread.SpinWait(500);
                break;
            case < 64:
                Thread.Yield();
                break;
        }
    }
}
