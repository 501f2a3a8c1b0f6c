namespace Byre.Storage;

/// <summary>QEMU's cache modes in their three parts.</summary>
/// <param name="Direct">Bypass the host's page cache (O_DIRECT).</param>
/// <param name="NoFlush">Ignore flushes: a crash of the host may lose anything.</param>
/// <param name="Writethrough">Every write is on stable storage when it completes.</param>
public readonly record struct CacheMode(bool Direct, bool NoFlush, bool Writethrough)
{
    /// <summary>"writeback": the page cache, flushes honoured.</summary>
    public static CacheMode Writeback => new(false, false, false);

    /// <summary>"none": O_DIRECT, flushes honoured.</summary>
    public static CacheMode None => new(true, false, false);

    /// <summary>"writethrough": the page cache, each write flushed.</summary>
    public static CacheMode WritethroughMode => new(false, false, true);

    /// <summary>"directsync": O_DIRECT, each write flushed.</summary>
    public static CacheMode DirectSync => new(true, false, true);

    /// <summary>"unsafe": the page cache, flushes ignored.</summary>
    public static CacheMode Unsafe => new(false, true, false);

    /// <summary>The mode of a QEMU name, or null for an unknown one.</summary>
    public static CacheMode? Parse(string name) => name switch
    {
        "none" or "off" => None,
        "writeback" => Writeback,
        "writethrough" => WritethroughMode,
        "directsync" => DirectSync,
        "unsafe" => Unsafe,
        _ => null,
    };
}
