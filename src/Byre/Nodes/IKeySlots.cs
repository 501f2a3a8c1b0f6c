namespace Byre.Nodes;

/// <summary>A node whose data is encrypted with a key that several passphrases can open.</summary>
public interface IKeySlots
{
    /// <summary>
    /// Adds or erases a passphrase. It is on stable storage when this completes; a crash meanwhile leaves every other
    /// passphrase as it was.
    /// </summary>
    /// <param name="change">What is to change.</param>
    /// <param name="force">A slot that is in use may be overwritten, and the last one erased: then nobody can read the data any more.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: the change contradicts itself or the image; <see cref="ErrorCode.NotPermitted"/>: it would
    /// lose data and is not forced, or the old passphrase is wrong.
    /// </exception>
    ValueTask ChangeKeySlotsAsync(KeySlotChange change, bool force);
}
