using System.Buffers;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>
/// Sends requests to an image, as many at a time as are wanted. Each lane has one in flight and sends the next when it is
/// done; who comes first takes the next place.
/// </summary>
/// <remarks>Lock order: <c>gate</c> is a leaf.</remarks>
internal sealed class BenchRun(BlockEdge image, BenchOptions options, bool writethrough, CancellationToken stopping) : IDisposable
{
    private const long MostMemory = 4L << 30;

    private readonly Lock gate = new();
    private readonly List<Task> flushes = [];
    private readonly IMemoryOwner<byte>[] buffers = new IMemoryOwner<byte>[options.Writes ? 1 : Math.Min(options.Depth, options.Count)];
    private readonly long length = image.Length;
    private long offset = options.Offset;
    private int left; // of the requests up to the next flush that drains
    private int sent;
    private BlockException? failure;

    /// <summary>Sends them all, and the flushes.</summary>
    /// <exception cref="BlockException">One of them failed; those in flight were waited for.</exception>
    /// <exception cref="OperationCanceledException">It was interrupted.</exception>
    public async Task RunAsync()
    {
        if ((long)buffers.Length * options.Size > MostMemory)
        {
            throw new BlockException(ErrorCode.TooLarge, $"{buffers.Length} requests of {options.Size} bytes at a time take more than {MostMemory >> 30} GiB of memory");
        }

        if (options.Size > length)
        {
            throw Beyond(options.Offset);
        }

        for (var i = 0; i < buffers.Length; i++)
        {
            buffers[i] = BufferPool.Rent(options.Size);
            buffers[i].Memory.Span[..options.Size].Fill(options.Pattern);
        }

        var drains = options is { FlushInterval: > 0, NoDrain: false };
        while (sent < options.Count && failure is null)
        {
            left = drains ? Math.Min(options.FlushInterval, options.Count - sent) : options.Count - sent;
            var lanes = new Task[Math.Min(options.Depth, left)];
            for (var i = 0; i < lanes.Length; i++)
            {
                var buffer = buffers[options.Writes ? 0 : i].Memory[..options.Size];
                lanes[i] = Task.Run(() => RunLaneAsync(buffer), CancellationToken.None);
            }

            await Task.WhenAll(lanes).ConfigureAwait(false);
            stopping.ThrowIfCancellationRequested();
            if (drains && failure is null)
            {
                await image.FlushAsync().ConfigureAwait(false);
            }
        }

        await Task.WhenAll(flushes).ConfigureAwait(false);
        if (failure is not null)
        {
            throw failure;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var buffer in buffers)
        {
            buffer?.Dispose();
        }
    }

    private async Task RunLaneAsync(Memory<byte> buffer)
    {
        try
        {
            while (Take() is { } at)
            {
                if (options.Writes)
                {
                    await image.WriteAsync(at, buffer, writethrough ? WriteFlags.Fua : WriteFlags.None).ConfigureAwait(false);
                }
                else
                {
                    await image.ReadAsync(at, buffer).ConfigureAwait(false);
                }
            }
        }
        catch (BlockException e)
        {
            lock (gate)
            {
                failure ??= e;
            }
        }
    }

    /// <summary>Where the next request goes; null where there is none.</summary>
    private long? Take()
    {
        lock (gate)
        {
            if (left == 0 || failure is not null || stopping.IsCancellationRequested)
            {
                return null;
            }

            left--;
            sent++;
            var at = offset;
            offset = length == 0 ? offset + options.Step : (offset + options.Step) % length;
            if (at > length - options.Size)
            {
                throw Beyond(at);
            }

            if (options is { FlushInterval: > 0, NoDrain: true } && sent % options.FlushInterval == 0)
            {
                flushes.Add(Task.Run(() => image.FlushAsync().AsTask(), CancellationToken.None));
            }

            return at;
        }
    }

    private BlockException Beyond(long at) =>
        new(ErrorCode.OutOfRange, $"{options.Size} bytes at {at} are not in the image, which has {length}");
}
