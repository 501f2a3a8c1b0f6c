using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>What info tells of a node.</summary>
internal sealed record ImageReport
{
    /// <summary>The name the node is known by.</summary>
    public required string FileName { get; init; }

    /// <summary>The driver.</summary>
    public required string Format { get; init; }

    /// <summary>Length in bytes.</summary>
    public required long Length { get; init; }

    /// <summary>Bytes occupied on the host, or null.</summary>
    public long? Occupied { get; init; }

    /// <summary>The qcow2 header, or null.</summary>
    public Qcow2Header? Header { get; init; }

    /// <summary>The LUKS header, that of the image or of the encryption inside of it, or null.</summary>
    public LuksHeader? Luks { get; init; }

    /// <summary>The data is encrypted.</summary>
    public bool IsEncrypted => Header is { CryptMethod: not 0 } || Format == "luks";

    /// <summary>The full name of the backing file; null where there is none or it cannot be told.</summary>
    public string? FullBackingName { get; init; }

    /// <summary>Internal snapshots.</summary>
    public IReadOnlyList<SnapshotInfo> Snapshots { get; init; } = [];

    /// <summary>Persistent bitmaps.</summary>
    public IReadOnlyList<Qcow2BitmapInfo> Bitmaps { get; init; } = [];

    /// <summary>Whether it was closed properly is told: not by what lies in an NBD export without a format that knows.</summary>
    public bool TellsOfDirt => Header is not null || (Format is not ("nbd" or "null-co" or "null-aio") && Children.All(child => child.Report.TellsOfDirt));

    /// <summary>The nodes below, by name.</summary>
    public IReadOnlyList<ChildReport> Children { get; init; } = [];
}
