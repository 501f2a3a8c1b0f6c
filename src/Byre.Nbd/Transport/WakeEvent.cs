using System.Runtime.InteropServices;

namespace Byre.Nbd.Transport;

/// <summary>An event that a thread can wait for together with a socket (<see cref="SocketChannel.Poll"/>).</summary>
public sealed unsafe class WakeEvent : IDisposable
{
    /// <summary>Makes one that is not set.</summary>
    /// <exception cref="IOException">The system has no descriptors left.</exception>
    public WakeEvent()
    {
        var descriptor = SocketCalls.EventDescriptor(0, SocketCalls.EventNonBlockingCloseOnExec);
        Handle = descriptor >= 0 ? new ChannelHandle(descriptor) : throw SocketChannel.Failure("eventfd", Marshal.GetLastPInvokeError());
    }

    internal ChannelHandle Handle { get; }

    /// <summary>Sets it; from any thread, also after it was disposed (then nothing happens).</summary>
    public void Set()
    {
        try
        {
            var one = 1UL;
            _ = SocketCalls.Write(Handle, &one, sizeof(ulong)); // fails only where the counter is full: then it is set
        }
        catch (ObjectDisposedException)
        {
            // Nobody waits any more.
        }
    }

    /// <summary>Takes it back.</summary>
    public void Reset()
    {
        ulong count;
        _ = SocketCalls.Read(Handle, &count, sizeof(ulong)); // fails only where it is not set
    }

    /// <summary>Waits until it is set; it stays set.</summary>
    /// <param name="timeout">Milliseconds; negative for no limit.</param>
    /// <returns><see cref="ChannelEvents.Woken"/>, or <see cref="ChannelEvents.None"/> where the time is over or a signal came.</returns>
    public ChannelEvents Wait(int timeout)
    {
        var holds = false;
        try
        {
            Handle.DangerousAddRef(ref holds);
            var entry = new SocketCalls.PollEntry { Descriptor = (int)Handle.DangerousGetHandle(), Events = SocketCalls.PollIn };
            return SocketCalls.Poll(&entry, 1, timeout) > 0 ? ChannelEvents.Woken : ChannelEvents.None;
        }
        finally
        {
            if (holds)
            {
                Handle.DangerousRelease();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Handle.Dispose();
}
