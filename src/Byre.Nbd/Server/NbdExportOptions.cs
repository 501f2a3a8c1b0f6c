using Byre.Bitmaps;

namespace Byre.Nbd.Server;

/// <summary>How an image is shown to clients.</summary>
public sealed record NbdExportOptions
{
    /// <summary>The export's name, up to 4096 bytes of UTF-8; empty for the default export.</summary>
    public required string Name { get; init; }

    /// <summary>A text for people, up to 4096 bytes of UTF-8; or null.</summary>
    public string? Description { get; init; }

    /// <summary>Changes are refused; also where the edge has no permission to write.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Every change is on stable storage before its reply.</summary>
    public bool WriteThrough { get; init; }

    /// <summary>
    /// Clients are told that they may use several connections: all of them share one edge, so a flush on one covers the
    /// completed writes of all.
    /// </summary>
    public bool AllowMultiConn { get; init; } = true;

    /// <summary>The context qemu:allocation-depth is offered, and with it qemu:joint-allocation.</summary>
    public bool AllocationDepth { get; init; }

    /// <summary>The bitmaps that are offered as qemu:dirty-bitmap:NAME.</summary>
    public IReadOnlyList<DirtyBitmap> Bitmaps { get; init; } = [];

    /// <summary>The context byre:joint is offered where there is a depth or a bitmap to join.</summary>
    public bool Joint { get; init; } = true;

    /// <summary>
    /// Clients may change the image's length (NBD_CMD_RESIZE), where the edge may and the export shows the whole image.
    /// </summary>
    public bool CanResize { get; init; }

    /// <summary>The first byte of the image that is shown.</summary>
    public long Offset { get; init; }

    /// <summary>How many bytes are shown; null for all from <see cref="Offset"/> on.</summary>
    public long? Length { get; init; }
}
