namespace Byre.Storage;

/// <summary>How a host file or block device is opened.</summary>
public sealed record FileNodeOptions
{
    /// <summary>The path.</summary>
    public required string Path { get; init; }

    /// <summary>Opens for reading only.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Opens for reading only where writing is refused, instead of failing.</summary>
    public bool AutoReadOnly { get; init; }

    /// <summary>How the host's page cache is used.</summary>
    public CacheMode Cache { get; init; } = CacheMode.Writeback;

    /// <summary>Discards give space back (QEMU's discard=unmap); otherwise they do nothing.</summary>
    public bool DiscardUnmap { get; init; } = true;

    /// <summary>Takes the locks that keep other processes from conflicting use.</summary>
    public bool Locking { get; init; } = true;

    /// <summary>
    /// I/O always runs on the caller's thread, even where it has to wait for the device. For tools that have threads of
    /// their own for it.
    /// </summary>
    public bool Blocking { get; init; }

    /// <summary>
    /// What is written is sent to the device while the writing goes on, and leaves the host's page cache then: of a long copy at
    /// most 64 MiB are in it. Writers wait for the device once so much is on its way. For what is written once and not read
    /// soon. Means nothing with <see cref="CacheMode.Direct"/>, and nothing where the system has no calls for it.
    /// </summary>
    public bool WriteBehind { get; init; }

    /// <summary>Uses only the portable file API of .NET, as on systems without Linux's calls.</summary>
    internal bool Portable { get; init; }
}
