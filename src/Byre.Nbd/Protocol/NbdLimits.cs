namespace Byre.Nbd.Protocol;

/// <summary>Lengths that the protocol fixes, or that this implementation accepts at most.</summary>
public static class NbdLimits
{
    /// <summary>The TCP port that is registered for the protocol.</summary>
    public const int DefaultPort = 10809;

    /// <summary>The longest string (name, description, metadata context), in bytes of UTF-8 without an end mark (section "Terminology").</summary>
    public const int MaxString = 4096;

    /// <summary>The longest payload, in bytes, that every peer takes without being told (section "Size constraints"): 32 MiB.</summary>
    public const int DefaultMaxPayload = 32 << 20;

    /// <summary>The most data of an option that a server reads, and of an option's reply that a client reads, in bytes.</summary>
    public const int MaxOptionData = 64 << 10;

    /// <summary>The largest preferred and minimum block size, in bytes, that a client takes from a server.</summary>
    public const int MaxBlockSize = 32 << 20;

    /// <summary>The zeroes that end the reply to <see cref="NbdOption.ExportName"/>, unless both sides do without, in bytes.</summary>
    public const int ExportNamePadding = 124;
}
