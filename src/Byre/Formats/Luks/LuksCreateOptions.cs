using Byre.Crypto;

namespace Byre.Formats.Luks;

/// <summary>How a new LUKS volume is encrypted.</summary>
public sealed record LuksCreateOptions
{
    /// <summary>The passphrase, as bytes (UTF-8). Not disposed by who reads it here.</summary>
    public required SecretBytes Passphrase { get; init; }

    /// <summary>How sectors are encrypted.</summary>
    public CipherSpec Cipher { get; init; } = CipherSpec.Default;

    /// <summary>The hash of passphrases.</summary>
    public HashKind Hash { get; init; } = HashKind.Sha256;

    /// <summary>Milliseconds that trying a passphrase shall take on this machine; at least 0.</summary>
    public long IterationMilliseconds { get; init; } = DefaultIterationMilliseconds;

    /// <summary>What is taken unless something else is asked for; QEMU's.</summary>
    public const long DefaultIterationMilliseconds = 2000;

    /// <summary>Bytes before the encrypted disk.</summary>
    public long PayloadOffset => LuksHeader.PayloadOffsetFor(Cipher.KeyBytes);
}
