namespace Byre.Formats.Qcow2.Manage;

/// <summary>What is to be changed of an image that exists; what is null stays as it is.</summary>
public sealed record Qcow2AmendOptions
{
    /// <summary>The format's version: 2 or 3.</summary>
    public int? Version { get; init; }

    /// <summary>Bits of a reference count: 1, 2, 4, 8, 16, 32 or 64; other than 16 in version 3 only.</summary>
    public int? RefcountBits { get; init; }

    /// <summary>Reference counts are written late; in version 3 only.</summary>
    public bool? LazyRefcounts { get; init; }

    /// <summary>The name stored for the external data file; empty for none. The image has a data file already.</summary>
    public string? DataFileName { get; init; }

    /// <summary>False: the data file need not be a raw image any more. True is refused, unless it is so already.</summary>
    public bool? DataFileRaw { get; init; }

    /// <summary>Length of the virtual disk in bytes.</summary>
    public long? Size { get; init; }
}
