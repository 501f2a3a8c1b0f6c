namespace Byre.Nodes;

/// <summary>
/// An image that can say of itself that it is not filled yet, so that nobody takes it for a whole one where whoever fills it
/// is killed.
/// </summary>
public interface IIncompleteMark
{
    /// <summary>From now on the image is refused by whoever opens it. Where the image cannot say so, nothing happens.</summary>
    /// <exception cref="BlockException">The mark cannot be written.</exception>
    ValueTask MarkIncompleteAsync();

    /// <summary>Takes the mark away: everything is written and flushed.</summary>
    /// <exception cref="BlockException">It cannot be taken away; the image stays marked.</exception>
    ValueTask MarkCompleteAsync();
}
