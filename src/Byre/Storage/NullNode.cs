using System.Collections.ObjectModel;
using Byre.Nodes;

namespace Byre.Storage;

/// <summary>A disk that keeps nothing (QEMU's null-co): writes vanish, reads give zeroes or whatever the buffer held.</summary>
/// <param name="length">Bytes; QEMU's default is 1 GiB.</param>
/// <param name="readZeroes">Reads give zeroes and extents say zero.</param>
/// <param name="latency">How long each request takes.</param>
/// <param name="driver">QEMU's name of it: null-co, or null-aio, which is the same here.</param>
public sealed class NullNode(long length, bool readZeroes = true, TimeSpan latency = default, string driver = "null-co") : BlockNode, IGivenOptions
{
    private long length = length;

    /// <inheritdoc/>
    public override string DriverName => driver;

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, string> GivenOptions { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <inheritdoc/>
    public override long Length => Volatile.Read(ref length);

    /// <inheritdoc/>
    public override WriteFlags SupportedWriteFlags => WriteFlags.Fua;

    /// <inheritdoc/>
    public override ValueTask ReadAsync(long offset, Memory<byte> buffer)
    {
        if (readZeroes)
        {
            buffer.Span.Clear();
        }

        return WaitAsync();
    }

    /// <inheritdoc/>
    public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => WaitAsync();

    /// <inheritdoc/>
    public override async ValueTask<bool> TryWriteZeroesAsync(long offset, long length, WriteFlags flags)
    {
        await WaitAsync().ConfigureAwait(false);
        return true;
    }

    /// <inheritdoc/>
    public override ValueTask SyncAsync() => WaitAsync();

    /// <inheritdoc/>
    public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
    {
        ArgumentNullException.ThrowIfNull(extents);
        extents.Add(new BlockExtent(
            extents.Offset, extents.Length, readZeroes ? ExtentState.Zero : ExtentState.Data, ExtentFlags.None, extents.Offset, this, 1));
        return default;
    }

    /// <inheritdoc/>
    public override ValueTask ResizeAsync(long length, Preallocation preallocation)
    {
        Volatile.Write(ref this.length, length);
        return default;
    }

    private ValueTask WaitAsync() => latency > TimeSpan.Zero ? new(Task.Delay(latency)) : default;
}
