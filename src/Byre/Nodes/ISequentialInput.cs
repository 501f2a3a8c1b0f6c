namespace Byre.Nodes;

/// <summary>Bytes that come one behind the other, and end some time: a pipe. Read by one caller at a time.</summary>
public interface ISequentialInput
{
    /// <summary>Reads what comes next.</summary>
    /// <param name="buffer">Never empty.</param>
    /// <param name="cancellation">Ends the wait for bytes that do not come.</param>
    /// <returns>Bytes read into the buffer's front; 0 at the end.</returns>
    /// <exception cref="BlockException">It cannot be read.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellation);
}
