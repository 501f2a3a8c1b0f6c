using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>
/// Replies that are ready to be sent, gathered so that many leave in one call. Small ones are made in one buffer; the data of
/// large ones stay where they were read. Only the connection's thread uses it.
/// </summary>
/// <param name="channel">Where to.</param>
internal sealed class ReplyQueue(SocketChannel channel)
{
    private const int BufferSize = 256 << 10;

    private readonly List<Part> parts = [];
    private SharedBuffer? buffer;
    private int tail;

    /// <summary>How many bytes wait to be sent.</summary>
    public long Bytes { get; private set; }

    /// <summary>There is enough for one call.</summary>
    public bool IsFull => Bytes >= BufferSize;

    /// <summary>
    /// Memory to make a reply in; <see cref="Commit"/> or <see cref="Pin"/> comes before the next. May send what waits.
    /// </summary>
    /// <param name="length">Bytes, at most 128 KiB.</param>
    /// <exception cref="IOException">The connection failed.</exception>
    public Memory<byte> Reserve(int length)
    {
        if (buffer is null || tail + length > BufferSize)
        {
            NewRoom();
        }

        return buffer!.Memory.Slice(tail, length);
    }

    /// <summary>The reply that was made at the front of the memory that was reserved last is ready.</summary>
    /// <param name="length">Its bytes.</param>
    public void Commit(int length)
    {
        Add(buffer!, tail, length, owned: null);
        tail += length;
    }

    /// <summary>The reply in the memory that was reserved last is made later; what is reserved next lies behind it.</summary>
    /// <param name="length">Its bytes at most.</param>
    /// <returns>The buffer, retained for whoever makes the reply, and where in it the memory begins.</returns>
    public (SharedBuffer Buffer, int Start) Pin(int length)
    {
        buffer!.Retain();
        tail += length;
        return (buffer, tail - length);
    }

    /// <summary>A reply that was made in memory that was pinned is ready.</summary>
    /// <param name="pinned">The buffer, which is released once the reply is sent.</param>
    /// <param name="start">Where in it.</param>
    /// <param name="length">Its bytes.</param>
    public void AddPinned(SharedBuffer pinned, int start, int length) => Add(pinned, start, length, pinned);

    /// <summary>Bytes that lie in a buffer of their own follow.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="owner">Disposed once they are sent.</param>
    public void AddOwned(ReadOnlyMemory<byte> bytes, IDisposable owner)
    {
        parts.Add(new Part(bytes, null, 0, owner));
        Bytes += bytes.Length;
    }

    /// <summary>Sends all that is ready.</summary>
    /// <exception cref="IOException">The connection failed; nothing more can be sent.</exception>
    public void Send()
    {
        for (var i = 0; i < parts.Count; i += 2)
        {
            channel.Send(parts[i].Bytes.Span, i + 1 < parts.Count ? parts[i + 1].Bytes.Span : default);
        }

        Forget();
        if (buffer is { IsShared: false })
        {
            tail = 0;
        }
    }

    /// <summary>Gives the memory back where nothing waits in it.</summary>
    public void Shrink()
    {
        if (parts.Count == 0)
        {
            buffer?.Release();
            buffer = null;
            tail = 0;
        }
    }

    /// <summary>Drops what waits and gives all memory back.</summary>
    public void Release()
    {
        Forget();
        Shrink();
    }

    private void Add(SharedBuffer memory, int start, int length, SharedBuffer? owned)
    {
        Bytes += length;
        if (parts.Count > 0 && parts[^1] is { Owner: null } last && ReferenceEquals(last.Memory, memory) && owned is null
            && last.Start + last.Bytes.Length == start)
        {
            parts[^1] = last with { Bytes = memory.Memory.Slice(last.Start, last.Bytes.Length + length) };
            return;
        }

        parts.Add(new Part(memory.Memory.Slice(start, length), memory, start, owned));
    }

    private void NewRoom()
    {
        Send();
        if (buffer is { IsShared: true })
        {
            buffer.Release();
            buffer = null;
        }

        buffer ??= SharedBuffer.Rent(BufferSize);
        tail = 0;
    }

    private void Forget()
    {
        foreach (var part in parts)
        {
            if (part.Owner is SharedBuffer shared)
            {
                shared.Release();
            }
            else if (part.Owner is IDisposable owner)
            {
                owner.Dispose();
            }
        }

        parts.Clear();
        Bytes = 0;
    }

    /// <summary>Bytes to send.</summary>
    /// <param name="Bytes">The bytes.</param>
    /// <param name="Memory">The shared buffer that they lie in, or null.</param>
    /// <param name="Start">Where in it.</param>
    /// <param name="Owner">What is let go of once they are sent, or null.</param>
    private readonly record struct Part(ReadOnlyMemory<byte> Bytes, SharedBuffer? Memory, int Start, object? Owner);
}
