using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Looks for fields of the header that do not agree with one another (qcow2 specification, "Header").</summary>
internal static class HeaderScan
{
    /// <summary>Looks.</summary>
    public static void Run(ImageScan scan)
    {
        var header = scan.Header;
        if (header.FindExtension(HeaderExtensionTypes.Bitmaps) is not null && !header.Autoclear.HasFlag(AutoclearFeatures.Bitmaps))
        {
            Note(scan, "the header leads to bitmaps that are not trusted any more, as a program that does not know them has written to the image");
        }

        if (header.BackingFormat is not null && header.BackingFile is null)
        {
            Note(scan, "the header has the format of a backing file, and no backing file");
        }

        if (header.DataFileName is not null && !header.HasDataFile)
        {
            Note(scan, "the header has the name of a data file, and the image has none");
        }

        if (header.Autoclear.HasFlag(AutoclearFeatures.RawExternalData) && !header.HasDataFile)
        {
            Note(scan, "the header says that the data file is raw, and the image has none");
        }

        if (header.FindExtension(HeaderExtensionTypes.FullDiskEncryption) is not null && header.CryptMethod != 2)
        {
            Note(scan, "the header leads to a LUKS header, and the image is not encrypted with LUKS");
        }

        var types = new HashSet<uint>();
        foreach (var extension in header.Extensions)
        {
            if (!types.Add(extension.Type))
            {
                Note(scan, $"the header has two extensions of the type {extension.Type:x8}");
            }
        }
    }

    /// <summary>Looks whether the disk reads as zeroes where the header says so (autoclear feature bit 2).</summary>
    /// <exception cref="BlockException">The file cannot be read.</exception>
    public static async ValueTask CheckClaimedZeroAsync(ImageScan scan)
    {
        if (!scan.Header.Autoclear.HasFlag(AutoclearFeatures.AllZero))
        {
            return;
        }

        var place = new FindingPlace(HeaderFields.Autoclear, CheckTable.Header);
        if (scan.Header.BackingFile is not null)
        {
            Claim(scan, place, "the header says that the disk reads as zeroes, and names a backing file");
        }
        else if (scan.Tables.Entries.ClaimedZero is { } ranges)
        {
            var found = ranges.Compressed > 0 ? 0 : await ranges.FindDataAsync(scan.Reader.File).ConfigureAwait(false);
            if (found >= 0)
            {
                Claim(scan, found > 0 ? place with { Offset = found, Table = null } : place, "the header says that the disk reads as zeroes, and it has data");
            }
            else if (ranges.IsIncomplete)
            {
                scan.Findings.Note(CheckFindingKind.NotFollowed, place, "not all data was read to see whether it is zeroes, as the header says");
            }
        }
    }

    private static void Claim(ImageScan scan, FindingPlace place, string line)
    {
        scan.HasFalseZeroClaim = true;
        scan.Findings.Corruption(CheckFindingKind.NotAllZero, 1, CheckRemedy.ClearFeature, place, line);
    }

    private static void Note(ImageScan scan, string line) =>
        scan.Findings.Note(CheckFindingKind.HeaderField, new(null, CheckTable.Header), line);
}
