namespace Byre.Nodes;

/// <summary>An image whose reference to its backing file can be changed. What is opened stays as it is.</summary>
public interface IBackingReference
{
    /// <summary>
    /// Zeroes that are written without data stay zeroes over whatever backing file the image is given; else they must be written
    /// as data, as what is absent reads as zeroes for want of a backing file only.
    /// </summary>
    bool KeepsZeroes { get; }

    /// <summary>Says whether a reference could be stored; changes nothing.</summary>
    /// <param name="fileName">The backing file's name as it is to be stored; null for none.</param>
    /// <param name="format">Its format; null for none.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it is too long, or the image cannot have a backing file.</exception>
    void CheckBackingReference(string? fileName, string? format);

    /// <summary>
    /// Stores a reference. All that was written before is on stable storage first; the reference when this completes. A crash
    /// leaves the old one or the new one.
    /// </summary>
    /// <param name="fileName">The backing file's name; null for none.</param>
    /// <param name="format">Its format; null for none.</param>
    /// <exception cref="BlockException">As <see cref="CheckBackingReference"/>, or it cannot be written.</exception>
    ValueTask ChangeBackingReferenceAsync(string? fileName, string? format);
}
