using Byre.Nodes;

namespace Byre.Tests.Requests;

/// <summary>A byte array that refuses every request which breaks the promises of <see cref="BlockNode"/>.</summary>
internal sealed class ModelNode(byte[] content, BlockLimits limits) : BlockNode
{
    private readonly Lock gate = new();
    private byte[] bytes = content;

    public override string DriverName => "model";

    public override string FileName => "model";

    public override long Length => bytes.Length;

    public override BlockLimits Limits => limits;

    public override WriteFlags SupportedWriteFlags => Supported;

    public WriteFlags Supported { get; set; }

    public bool Grows { get; set; }

    public override bool GrowsOnWrite => Grows;

    public bool ReadOnly { get; set; }

    public override bool IsReadOnly => ReadOnly;

    /// <summary>Complete later, on another thread, now and then.</summary>
    public Func<bool> Later { get; set; } = () => false;

    /// <summary>What TryWriteZeroes answers.</summary>
    public Func<bool> ZeroesWork { get; set; } = () => true;

    public byte[] Bytes => bytes;

    public List<string> Log { get; } = [];

    public bool IsDisposed { get; private set; }

    public int Disposals { get; private set; }

    public override async ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        CheckAligned(offset, buffer.Length);
        Note($"read {offset}+{buffer.Length}");
        await MaybeLater();
        lock (gate)
        {
            bytes.AsSpan((int)offset, buffer.Length).CopyTo(buffer.Span);
        }
    }

    public override async ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        CheckAligned(offset, data.Length, write: true);
        Assert.Equal(WriteFlags.None, flags & ~(Supported | WriteFlags.Unchanged));
        Note($"write {offset}+{data.Length}{(flags == 0 ? "" : " " + flags)}");
        await MaybeLater();
        lock (gate)
        {
            GrowTo(offset + data.Length);
            data.Span.CopyTo(bytes.AsSpan((int)offset, data.Length));
        }
    }

    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        CheckAligned(offset, length, limits.MaxWriteZeroes, write: true);
        Assert.Equal(WriteFlags.None, flags & WriteFlags.Fua);
        await MaybeLater();
        if (!ZeroesWork())
        {
            return false;
        }

        Note($"zero {offset}+{length}");
        lock (gate)
        {
            GrowTo(offset + length);
            bytes.AsSpan((int)offset, (int)length).Clear();
        }

        return true;
    }

    public override async ValueTask DiscardAsync(long offset, long length)
    {
        CheckAligned(offset, length, limits.MaxDiscard);
        Assert.Equal(0, offset % limits.DiscardAlignment);
        Assert.True(length % limits.DiscardAlignment == 0 || offset + length == Length);
        Note($"discard {offset}+{length}");
        await MaybeLater();
    }

    public override ValueTask SyncAsync()
    {
        Note("sync");
        return default;
    }

    public override ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        Note($"resize {length}");
        lock (gate)
        {
            Array.Resize(ref bytes, (int)length);
        }

        return default;
    }

    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        extents.Add(new BlockExtent(extents.Offset, extents.Length, ExtentState.Data, ExtentFlags.None, extents.Offset, this, 1));
        return default;
    }

    public override void OnDebugEvent(BlkdebugEvent debugEvent) => Note("event " + debugEvent);

    public override ValueTask DisposeAsync()
    {
        IsDisposed = true;
        Disposals++;
        return base.DisposeAsync();
    }

    /// <summary>The log without the events, and forgets it.</summary>
    public string TakeLog(bool events = false)
    {
        lock (Log)
        {
            var text = string.Join("; ", Log.Where(l => events || !l.StartsWith("event", StringComparison.Ordinal)));
            Log.Clear();
            return text;
        }
    }

    private void Note(string line)
    {
        lock (Log)
        {
            Log.Add(line);
        }
    }

    private async ValueTask MaybeLater()
    {
        if (Later())
        {
            await Task.Yield();
        }
    }

    private void GrowTo(long end)
    {
        if (end > bytes.Length)
        {
            Array.Resize(ref bytes, (int)end);
        }
    }

    private void CheckAligned(long offset, long length, long max = -1, bool write = false)
    {
        var end = offset + length;
        Assert.False(IsDisposed);
        Assert.True(length >= 1);
        Assert.True(offset >= 0 && (end <= Length || (write && Grows)), $"{offset}+{length} of {Length}");
        Assert.Equal(0, offset % limits.RequestAlignment);
        Assert.True(length % limits.RequestAlignment == 0 || end == Length || (write && Grows && end > Length), $"{offset}+{length} of {Length}");
        Assert.True(length <= (max < 0 ? limits.MaxTransfer : max));
    }
}
