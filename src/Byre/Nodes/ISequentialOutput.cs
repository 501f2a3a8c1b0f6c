namespace Byre.Nodes;

/// <summary>What takes bytes one behind the other. Called by one caller at a time.</summary>
public interface ISequentialOutput
{
    /// <summary>Takes all of the bytes.</summary>
    /// <exception cref="BlockException">It cannot take them.</exception>
    void Write(ReadOnlySpan<byte> data);
}
