namespace Byre.Nodes;

/// <summary>A layer of an image that can be made to say nothing again, as it did when it was new.</summary>
public interface IEmptiable
{
    /// <summary>
    /// Makes the whole layer absent and gives its space back. Whoever reads the image afterwards reads what lies below it. The
    /// node is idle meanwhile. It is on stable storage when this completes; after a crash before that each cluster is as it was,
    /// or absent.
    /// </summary>
    /// <exception cref="BlockException">A read or a write failed: some of the layer may be there still.</exception>
    ValueTask EmptyAsync();
}
