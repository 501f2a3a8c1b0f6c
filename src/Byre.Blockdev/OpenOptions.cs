using Byre.Graph;
using Byre.Storage;

namespace Byre.Blockdev;

/// <summary>How an image is opened.</summary>
public sealed record OpenOptions
{
    /// <summary>The name: a path, "PROTOCOL:...", or "json:{...}". Null where <see cref="Options"/> say it all.</summary>
    public string? FileName { get; init; }

    /// <summary>The format's or protocol's name; null to look, unless <see cref="Options"/> hold "driver".</summary>
    public string? Format { get; init; }

    /// <summary>Driver options with dotted keys ("file.filename"); see <see cref="OptionTree"/>. They go before those in a "json:" name.</summary>
    public IReadOnlyDictionary<string, string> Options { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>
    /// How JSON wrote values of <see cref="Options"/> that are no texts (see <see cref="OptionTree.AddJson"/>): null is not given,
    /// and names that are told repeat the others.
    /// </summary>
    public IReadOnlyDictionary<string, string> JsonValues { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>No writing, unless the option "read-only" says otherwise.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Other programs may use and change the image meanwhile; needs read-only.</summary>
    public bool ForceShare { get; init; }

    /// <summary>How the host's page cache is used. Writethrough is what the user's own requests ask for; it changes nothing here.</summary>
    public CacheMode Cache { get; init; } = CacheMode.Writeback;

    /// <summary>Discards give space back (the option "discard").</summary>
    public bool DiscardUnmap { get; init; } = true;

    /// <summary>The option "detect-zeroes": off, on or unmap; null for off.</summary>
    public string? DetectZeroes { get; init; }

    /// <summary>The backing file is not opened: what the image lacks reads as zeroes.</summary>
    public bool NoBacking { get; init; }

    /// <summary>For a check: opens images that are dirty or corrupt, and repairs nothing.</summary>
    public bool ForCheck { get; init; }

    /// <summary>Writes go to a temporary image on top, which is gone when the image is closed; the image itself is only read.</summary>
    public bool Snapshot { get; init; }

    /// <summary>What is read of the layers below the image is stored in it; the image must be writable.</summary>
    public bool CopyOnRead { get; init; }

    /// <summary>Decides about files that an image names. By default none is opened.</summary>
    public OpenGate Gate { get; init; } = OpenGate.DenyAll;

    /// <summary>The secrets that options of encrypted images refer to, or null; they belong to the caller.</summary>
    public SecretStore? Secrets { get; init; }

    /// <summary>The objects that options refer to (TLS credentials, and secrets where <see cref="Secrets"/> is null), or null; they belong to the caller.</summary>
    public ObjectStore? Objects { get; init; }

    /// <summary>Takes warnings, of one line or several.</summary>
    public Action<string>? Warn { get; init; }

    /// <summary>Host files do their I/O on the caller's thread.</summary>
    public bool BlockingIo { get; init; }

    /// <summary>What is written to host files leaves the page cache soon (<see cref="Storage.FileNodeOptions.WriteBehind"/>).</summary>
    public bool WriteBehind { get; init; }

    /// <summary>NBD servers are asked for the layers behind them too (<see cref="Byre.Nodes.BlockExtent.Behind"/>).</summary>
    public bool LayersBehind { get; init; }

    /// <summary>
    /// What failures call the NBD server, where it was started for this image and the user knows no address of it; null for its
    /// address.
    /// </summary>
    public string? ServerTitle { get; init; }

    /// <summary>The graph to open into, whose nodes options can refer to by name; null for a new one.</summary>
    public BlockGraph? Graph { get; init; }
}
