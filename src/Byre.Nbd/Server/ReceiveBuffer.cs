using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// What has been received from a client and not been used yet. It holds a buffer only while there is something in it or
/// somebody receives; only the connection's thread uses it.
/// </summary>
internal sealed class ReceiveBuffer
{
    private SharedBuffer? buffer;
    private int start;
    private int end;

    /// <summary>How many bytes there are.</summary>
    public int Available => end - start;

    /// <summary>The bytes that are there.</summary>
    public ReadOnlySpan<byte> Unread => buffer is null ? default : buffer.Memory.Span[start..end];

    /// <summary>The buffer of what <see cref="Take"/> returns: who goes on using that retains it.</summary>
    public SharedBuffer Buffer => buffer!;

    /// <summary>Takes bytes off the front. They stay until the next <see cref="Receive"/>, or while the buffer is retained.</summary>
    /// <param name="count">At most <see cref="Available"/>.</param>
    public ReadOnlyMemory<byte> Take(int count)
    {
        if (count == 0)
        {
            return default;
        }

        var taken = buffer!.Memory.Slice(start, count);
        start += count;
        return taken;
    }

    /// <summary>Drops bytes from the front.</summary>
    public void Skip(int count) => start += count;

    /// <summary>Receives what comes, waiting for at least one byte.</summary>
    /// <param name="channel">Where from.</param>
    /// <param name="needed">So many bytes will be wanted in one piece, those that are there included.</param>
    /// <param name="capacity">The size of a new buffer; not less than needed.</param>
    /// <param name="limit">The most bytes to receive.</param>
    /// <param name="patience">How it waits, or null to wait asleep.</param>
    /// <returns>How many bytes came; 0 at the end of the stream; -1 where the channel's time is over.</returns>
    /// <exception cref="IOException">The connection failed.</exception>
    public int Receive(SocketChannel channel, int needed, int capacity, int limit = int.MaxValue, ReceivePatience? patience = null)
    {
        MakeRoom(Math.Max(needed, Available + 1), Math.Max(needed, capacity));
        var free = buffer!.Memory.Span[end..];
        free = free.Length > limit ? free[..limit] : free;
        var count = patience is null ? channel.Receive(free) : patience.Receive(channel, free);
        end += Math.Max(0, count);
        return count;
    }

    /// <summary>Gives the buffer back where it holds nothing, or keeps what it holds in a small one.</summary>
    public void Shrink()
    {
        if (buffer is null)
        {
            return;
        }

        if (Available == 0)
        {
            Release();
        }
        else if (buffer.Memory.Length > 4096 && Available <= 4096)
        {
            Move(SharedBuffer.Rent(4096));
        }
    }

    /// <summary>Forgets everything.</summary>
    public void Release()
    {
        buffer?.Release();
        buffer = null;
        start = end = 0;
    }

    private void MakeRoom(int needed, int capacity)
    {
        if (buffer is null)
        {
            buffer = SharedBuffer.Rent(capacity);
            return;
        }

        if (start == end && !buffer.IsShared && buffer.Memory.Length >= needed)
        {
            start = end = 0;
            return;
        }

        if (buffer.Memory.Length - start >= needed && buffer.Memory.Length > end)
        {
            return;
        }

        if (buffer.IsShared || buffer.Memory.Length < needed)
        {
            Move(SharedBuffer.Rent(capacity));
            return;
        }

        buffer.Memory.Span[start..end].CopyTo(buffer.Memory.Span);
        (start, end) = (0, end - start);
    }

    private void Move(SharedBuffer target)
    {
        Unread.CopyTo(target.Memory.Span);
        (start, end) = (0, end - start);
        buffer!.Release();
        buffer = target;
    }
}
