namespace Byre.Cli.Io;

/// <summary>How the applet's options, or the commands open and reopen, want an image.</summary>
internal sealed record IoOpenRequest
{
    /// <summary>The file name, or null where <see cref="Options"/> say it all.</summary>
    public string? FileName { get; init; }

    /// <summary>Driver options as "key=value,..." lists, in their order; empty where there are none.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    /// <summary>The format's name, or null to look.</summary>
    public string? Format { get; init; }

    /// <summary>No writing.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Writes go to a temporary overlay.</summary>
    public bool Snapshot { get; init; }

    /// <summary>What is read from backing layers is stored in the image.</summary>
    public bool CopyOnRead { get; init; }

    /// <summary>Other programs may use the image at the same time.</summary>
    public bool ForceShare { get; init; }

    /// <summary>The cache mode; each write is on stable storage when it ends, unless one is given.</summary>
    public string CacheMode { get; init; } = "writethrough";

    /// <summary>The discard mode, or null.</summary>
    public string? DiscardMode { get; init; }

    /// <summary>The I/O engine asked for, or null. Only checked: the engine chooses its own.</summary>
    public string? AioMode { get; init; }

    /// <summary>The request with one option more, of those that qemu-io's command line and its commands share.</summary>
    /// <param name="letter">The option's letter; one that says nothing about how to open leaves the request as it is.</param>
    /// <param name="value">Its value; never null for an option that takes one.</param>
    public IoOpenRequest With(char letter, string? value) => letter switch
    {
        'f' => this with { Format = value },
        'r' => this with { ReadOnly = true },
        's' => this with { Snapshot = true },
        'n' => this with { CacheMode = "none" },
        'C' => this with { CopyOnRead = true },
        'k' => this with { AioMode = "native" },
        'i' => this with { AioMode = value },
        't' => this with { CacheMode = value! },
        'd' => this with { DiscardMode = value },
        'U' => this with { ForceShare = true },
        _ => this,
    };

    /// <summary>Cache modes that make every write wait for stable storage.</summary>
    public bool WritesThrough => CacheMode is "writethrough" or "directsync";

    /// <summary>What to call the image in errors: " NAME", or nothing.</summary>
    public string Label => FileName is null ? "" : " device " + FileName;
}
