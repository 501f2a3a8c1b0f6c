using Byre.Nodes;

namespace Byre.Tests.Nbd.Server;

/// <summary>A disk of any length that reads as zeroes and notes what it was asked for.</summary>
internal sealed class RecordingNode(long length) : BlockNode
{
    private readonly List<string> log = [];

    public override string DriverName => "recording";

    public override long Length => length;

    /// <summary>Zeroes are written fast; without it only what must be fast fails.</summary>
    public bool IsFast { get; set; } = true;

    /// <summary>What a resize fails with, or null.</summary>
    public Exception? ResizeFailure { get; set; }

    public override ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        buffer.Span.Clear();
        return Note($"read {offset}+{buffer.Length}");
    }

    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => Note($"write {offset}+{data.Length}");

    public override ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        if (IsFast)
        {
            Add($"zero {offset}+{length} {flags}");
        }

        return new(IsFast);
    }

    public override ValueTask DiscardAsync(long offset, long length) => Note($"discard {offset}+{length}");

    public override ValueTask SyncAsync() => Note("sync");

    public override ValueTask ResizeAsync(long length, Preallocation preallocation) =>
        ResizeFailure is null ? Note($"resize {length}") : throw ResizeFailure;

    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        extents.Add(new BlockExtent(extents.Offset, extents.Length, ExtentState.Data, ExtentFlags.None, extents.Offset, this, 1));
        return default;
    }

    /// <summary>What it was asked for, one after the other, and forgets it.</summary>
    public string[] TakeLog()
    {
        lock (log)
        {
            string[] taken = [.. log];
            log.Clear();
            return taken;
        }
    }

    private ValueTask Note(string line)
    {
        Add(line);
        return default;
    }

    private void Add(string line)
    {
        lock (log)
        {
            log.Add(line);
        }
    }
}
