namespace Byre.Nodes;

/// <summary>An image that keeps a machine's state beside its disk, until a snapshot takes it over.</summary>
public interface IVmStateStore
{
    /// <summary>Reads state; what was never written reads as zeroes.</summary>
    /// <param name="offset">First byte, counted from the beginning of the state.</param>
    /// <param name="buffer">Filled.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.TooLarge"/>: the image has no room for an offset so high.</exception>
    ValueTask ReadVmStateAsync(long offset, Memory<byte> buffer);

    /// <summary>Writes state. It is on stable storage after the next flush.</summary>
    /// <param name="offset">First byte, counted from the beginning of the state.</param>
    /// <param name="data">What is written.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.ReadOnly"/>: the image is open for reading; <see cref="ErrorCode.TooLarge"/>: the image has no room
    /// for state so long.
    /// </exception>
    ValueTask WriteVmStateAsync(long offset, ReadOnlyMemory<byte> data);
}
