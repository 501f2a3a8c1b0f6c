using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// A filter that records every change and every flush that passes through it, with the data and the times at which each
/// began and ended. From its log a test can make the images that a crash at any time may leave behind. It keeps all that
/// is written in memory: it is for tests.
/// </summary>
/// <remarks>Lock order: <c>gate</c> is a leaf; nothing is called or awaited while it is held.</remarks>
public sealed class WriteLogNode : FilterNode
{
    private readonly Lock gate = new();
    private readonly List<WriteLogEntry> entries = [];
    private readonly WriteLogClock clock;

    /// <summary>Makes the filter, which owns the edge from now on.</summary>
    /// <param name="image">The edge to the child.</param>
    /// <param name="clock">The clock; given where the times of several logs are to be compared.</param>
    public WriteLogNode(BlockEdge image, WriteLogClock? clock = null)
        : base(image) => this.clock = clock ?? new WriteLogClock();

    /// <inheritdoc/>
    public override string DriverName => "write-log";

    /// <summary>The clock of the log's times.</summary>
    public WriteLogClock Clock => clock;

    /// <summary>What was recorded, in the order in which it began.</summary>
    public IReadOnlyList<WriteLogEntry> Entries
    {
        get
        {
            lock (gate)
            {
                return [.. entries];
            }
        }
    }

    /// <summary>Puts a mark into the log.</summary>
    /// <param name="label">Any text.</param>
    /// <returns>Its tick.</returns>
    public long Mark(string label)
    {
        lock (gate)
        {
            var mark = new WriteLogEntry(WriteLogKind.Mark, 0, 0, default, WriteFlags.None, label, clock.Advance());
            mark.Finish(mark.Began, failure: false);
            entries.Add(mark);
            return mark.Began;
        }
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        var entry = Begin(WriteLogKind.Write, offset, data.Length, data.ToArray(), flags);
        return EndAsync(entry, base.WriteAsync(offset, data, flags));
    }

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        var entry = Begin(WriteLogKind.WriteZeroes, offset, length, default, flags);
        var done = false;
        try
        {
            done = await base.TryWriteZeroesAsync(offset, length, flags).ConfigureAwait(false);
        }
        catch
        {
            End(entry, failure: true);
            throw;
        }

        if (done)
        {
            End(entry, failure: false);
        }
        else
        {
            Forget(entry);
        }

        return done;
    }

    /// <inheritdoc/>
    public override ValueTask DiscardAsync(long offset, long length) =>
        EndAsync(Begin(WriteLogKind.Discard, offset, length, default, WriteFlags.None), base.DiscardAsync(offset, length));

    /// <inheritdoc/>
    public override ValueTask SyncAsync() =>
        EndAsync(Begin(WriteLogKind.Flush, 0, 0, default, WriteFlags.None), base.SyncAsync());

    /// <inheritdoc/>
    public override ValueTask ResizeAsync(long length, Preallocation preallocation) =>
        EndAsync(Begin(WriteLogKind.Resize, 0, length, default, WriteFlags.None), base.ResizeAsync(length, preallocation));

    private WriteLogEntry Begin(WriteLogKind kind, long offset, long length, ReadOnlyMemory<byte> data, WriteFlags flags)
    {
        lock (gate)
        {
            var entry = new WriteLogEntry(kind, offset, length, data, flags, null, clock.Advance());
            entries.Add(entry);
            return entry;
        }
    }

    private async ValueTask EndAsync(WriteLogEntry entry, ValueTask request)
    {
        var failure = true;
        try
        {
            await request.ConfigureAwait(false);
            failure = false;
        }
        finally
        {
            End(entry, failure);
        }
    }

    private void End(WriteLogEntry entry, bool failure)
    {
        lock (gate)
        {
            entry.Finish(clock.Advance(), failure);
        }
    }

    /// <summary>A request that the child declined: nothing happened.</summary>
    private void Forget(WriteLogEntry entry)
    {
        lock (gate)
        {
            _ = entries.Remove(entry);
        }
    }
}
