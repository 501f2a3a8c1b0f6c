namespace Byre.Nodes;

/// <summary>An encrypted image whose key slots can be changed.</summary>
public interface IKeyAmendable
{
    /// <summary>Changes key slots. A crash leaves the old slots or the new ones.</summary>
    /// <param name="options">QEMU's options for it, without "encrypt.": state, new-secret, old-secret, keyslot, iter-time.</param>
    /// <param name="force">Changes are made that may lock the image for ever.</param>
    /// <exception cref="BlockException">An option is not valid, no key slot fits, or the change is not safe and was not forced.</exception>
    ValueTask AmendKeysAsync(IReadOnlyDictionary<string, string> options, bool force);
}
