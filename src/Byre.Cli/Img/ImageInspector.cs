using Byre.Blockdev;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Raw;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>
/// Looks at one image without opening what it names. A qcow2 image is looked at through its file and header alone, so images
/// that nobody could open (their data file is gone, they are encrypted, their tables are damaged) can still be described.
/// </summary>
internal sealed class ImageInspector(ImgContext context, bool forceShare)
{
    private const int ProbeLength = 512;
    private const int Sector = 512; // lengths are told in whole sectors, as QEMU does

    /// <summary>Describes an image.</summary>
    /// <param name="name">A file name, a "json:" name or a list of options.</param>
    /// <param name="imageOptions">The name is a list of options.</param>
    /// <param name="format">The format, or null to look.</param>
    /// <exception cref="ImgFailure">It cannot be opened.</exception>
    public async ValueTask<ImageReport> InspectAsync(string name, bool imageOptions, string? format)
    {
        try
        {
            var options = new Dictionary<string, string>(StringComparer.Ordinal);
            var values = new Dictionary<string, string>(StringComparer.Ordinal);
            string? path = null;
            if (imageOptions)
            {
                OptionTree.AddList(options, name);
            }
            else if (FileNames.IsJson(name))
            {
                OptionTree.AddJson(options, FileNames.JsonOf(name), values);
            }
            else
            {
                path = name;
            }

            if (format is not null && !options.TryAdd("driver", format) && options["driver"] != format)
            {
                throw new BlockException(ErrorCode.Invalid, $"The format is given twice: {format}, and driver={options["driver"]}");
            }

            return await InspectAsync(path, options, values).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, name, "Could not open"), 1, e);
        }
    }

    private async ValueTask<ImageReport> InspectAsync(string? path, Dictionary<string, string> options, Dictionary<string, string> values)
    {
        if (FileOf(path, options) is { } below)
        {
            var driver = options.GetValueOrDefault("driver");
            if (below["driver"] == "nbd" && driver is null or "raw" or "qcow2" or "luks")
            {
                return await InspectExportAsync(below, options, values, driver).ConfigureAwait(false);
            }

            if (driver is null or "qcow2" && await TryQcow2Async(below, mustBe: driver is not null).ConfigureAwait(false) is { } report)
            {
                return report;
            }

            if (driver is null or "luks" && await TryLuksAsync(below, mustBe: driver is not null).ConfigureAwait(false) is { } volume)
            {
                return volume;
            }
        }

        var image = await ImageOpener.OpenAsync(Options() with { FileName = path, Options = options, JsonValues = values }, ImgImages.Reading(forceShare)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            return Describe(image.Node);
        }
    }

    /// <summary>Looks at what lies in an NBD export, over one connection: many a server takes only one.</summary>
    private async ValueTask<ImageReport> InspectExportAsync(
        Dictionary<string, string> below, Dictionary<string, string> options, Dictionary<string, string> values, string? driver)
    {
        var file = await ImageOpener.OpenAsync(
            Options() with { Options = below, JsonValues = OptionTree.Below(values, "file") }, ForMetadata()).ConfigureAwait(false);
        await using (file.ConfigureAwait(false))
        {
            driver ??= FormatMagic.Probe(await FirstSectorAsync(file.Edge).ConfigureAwait(false));
            if (driver is "qcow2" or "luks")
            {
                return driver == "qcow2" ? await Qcow2Async(file).ConfigureAwait(false) : await LuksAsync(file).ConfigureAwait(false);
            }

            var own = options.Where(o => !o.Key.StartsWith("file.", StringComparison.Ordinal)).ToDictionary(StringComparer.Ordinal);
            own["driver"] = driver ?? "raw";
            own["file"] = file.Node.Name;
            var image = await ImageOpener.OpenAsync(Options() with { Options = own, JsonValues = values, Graph = file.Graph }, ImgImages.Reading(forceShare)).ConfigureAwait(false);
            await using (image.ConfigureAwait(false))
            {
                return Describe(image.Node);
            }
        }
    }

    /// <summary>The options of the file below, or null where it is not named in a way that is known here.</summary>
    private static Dictionary<string, string>? FileOf(string? path, Dictionary<string, string> options)
    {
        var below = OptionTree.Below(options, "file");
        if (path is not null)
        {
            var isPath = FileNames.PathOf(path) is not null;
            below = new(StringComparer.Ordinal) { ["driver"] = isPath ? "file" : NbdNames.IsNbd(path) ? "nbd" : FileNames.ProtocolOf(path)!, ["filename"] = FileNames.PathOf(path) ?? path };
        }

        if ((!below.ContainsKey("filename") && !below.ContainsKey("driver")) || !FormatRegistry.DriverNames.Contains(below.GetValueOrDefault("driver", "file")))
        {
            return null;
        }

        below.TryAdd("driver", "file");
        return below;
    }

    /// <summary>Opens the file below and reads the header.</summary>
    /// <returns>Null where the image is not LUKS, or its file is not named in a way that is known here.</returns>
    private async ValueTask<ImageReport?> TryLuksAsync(Dictionary<string, string> below, bool mustBe)
    {
        var file = await ImageOpener.OpenAsync(Options() with { Options = below }, ForMetadata()).ConfigureAwait(false);
        await using (file.ConfigureAwait(false))
        {
            if (!mustBe && FormatMagic.Probe(await FirstSectorAsync(file.Edge).ConfigureAwait(false)) != "luks")
            {
                return null;
            }

            return await LuksAsync(file).ConfigureAwait(false);
        }
    }

    private static async ValueTask<ImageReport> LuksAsync(OpenImage file)
    {
        var area = await LuksNode.AreaOfAsync(file.Edge).ConfigureAwait(false);
        var header = await area.ReadHeaderAsync().ConfigureAwait(false);
        return new ImageReport
        {
            FileName = NodeNames.OfImage("luks", file.Node),
            Format = "luks",
            Length = (Math.Max(0, file.Edge.Length - header.PayloadOffset) + Sector - 1) / Sector * Sector,
            Occupied = (file.Node as FileNode)?.AllocatedBytes,
            Luks = header,
            Children = [new ChildReport("file", Describe(file.Node))],
        };
    }

    /// <summary>Opens the file below and reads the header.</summary>
    /// <returns>Null where the image is not qcow2, or its file is not named in a way that is known here.</returns>
    private async ValueTask<ImageReport?> TryQcow2Async(Dictionary<string, string> below, bool mustBe)
    {
        var file = await ImageOpener.OpenAsync(Options() with { Options = below }, ForMetadata()).ConfigureAwait(false);
        await using (file.ConfigureAwait(false))
        {
            if (!mustBe && FormatMagic.Probe(await FirstSectorAsync(file.Edge).ConfigureAwait(false)) != "qcow2")
            {
                return null;
            }

            return await Qcow2Async(file).ConfigureAwait(false);
        }
    }

    private static async ValueTask<ImageReport> Qcow2Async(OpenImage file)
    {
        var header = await Qcow2HeaderReader.ReadAsync(file.Edge).ConfigureAwait(false);
        return new ImageReport
        {
            FileName = NodeNames.OfImage("qcow2", file.Node),
            Format = "qcow2",
            Length = header.Size,
            Occupied = (file.Node as FileNode)?.AllocatedBytes,
            Header = header,
            Luks = EncryptionHeader.AreaOf(file.Edge, header) is { } area ? await area.ReadHeaderAsync().ConfigureAwait(false) : null,
            FullBackingName = header.BackingFile is { } backing ? FullName(file.Node.FileName, backing) : null,
            Snapshots = await Qcow2Listing.SnapshotsAsync(file.Edge, header).ConfigureAwait(false),
            Bitmaps = await Qcow2Listing.BitmapsAsync(file.Edge, header).ConfigureAwait(false),
            Children = [new ChildReport("file", Describe(file.Node))],
        };
    }

    private static async ValueTask<byte[]> FirstSectorAsync(BlockEdge file)
    {
        var sector = new byte[(int)Math.Min(ProbeLength, file.Length)];
        await file.ReadAsync(0, sector).ConfigureAwait(false);
        return sector;
    }

    private static ImageReport Describe(BlockNode node)
    {
        var children = new List<ChildReport>();
        foreach (var child in node.Children)
        {
            children.Add(new ChildReport(child.Name, Describe(child.Node)));
        }

        return new ImageReport
        {
            FileName = NodeNames.Of(node),
            Format = node.DriverName,
            Length = (node.Length + Sector - 1) / Sector * Sector,
            Occupied = OccupiedBy(node),
            Children = children,
        };
    }

    private static long? OccupiedBy(BlockNode node) => node switch
    {
        FileNode file => file.AllocatedBytes,
        NullNode => 0,
        RawNode raw => OccupiedBy(raw.PrimaryChild!.Node),
        _ => null,
    };

    private static string? FullName(string image, string backing)
    {
        if (FileNames.ProtocolOf(backing) is not null)
        {
            return backing;
        }

        try
        {
            return FileNames.Resolve(image, backing);
        }
        catch (BlockException)
        {
            return null; // relative, and the image has no path
        }
    }

    private OpenOptions Options() => ImgImages.ForReading(context, null, forceShare) with { NoBacking = true };

    /// <summary>What a format's node wants of its file: nobody else may change the metadata meanwhile.</summary>
    private PermissionSet ForMetadata() => forceShare
        ? Graph.DefaultPermissions.ForceShare
        : Graph.DefaultPermissions.ForStorage(ChildRole.Metadata | ChildRole.Data | ChildRole.Primary, ImgImages.Reading(forceShare: false), writable: false);
}
