using System.Text;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>Writes a header cluster.</summary>
internal static class HeaderWriter
{
    private const int FeatureNameLength = 48;
    private const int FeatureTextLength = 46;

    /// <summary>A smaller cluster keeps its room for what matters: the feature names are left out.</summary>
    private const int FeatureTableMinCluster = 8192;

    private static ReadOnlySpan<uint> Generated =>
        [HeaderExtensionTypes.BackingFormat, HeaderExtensionTypes.FeatureNames, HeaderExtensionTypes.DataFileName];

    /// <summary>The used part of the header cluster.</summary>
    internal static byte[] ToBytes(Qcow2Header header)
    {
        var (bytes, end) = Compose(header, withFeatureNames: true, nameAt: null);
        return bytes[..Math.Max(end, NameEnd(bytes))];
    }

    /// <summary>Composes a header cluster.</summary>
    /// <param name="header">The header.</param>
    /// <param name="withFeatureNames">With the table of the features' names, which comes last of the extensions, where the cluster has room for it.</param>
    /// <param name="nameAt">Where the backing file's name goes, behind the extensions; null: right behind them.</param>
    /// <returns>A whole cluster, and where its extensions end.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it does not fit in a cluster.</exception>
    internal static (byte[] Bytes, int ExtensionsEnd) Compose(Qcow2Header header, bool withFeatureNames, int? nameAt)
    {
        var length = LengthOf(header);
        if (length > header.ClusterSize)
        {
            throw TooLong();
        }

        var bytes = new byte[header.ClusterSize];
        HeaderFields.Write(header, length, bytes);
        var at = length;
        if (header.Version >= 3)
        {
            header.UnknownFields.Span.CopyTo(bytes.AsSpan(HeaderFields.Version3Length));
        }

        if (header.BackingFormat is { } format)
        {
            Add(bytes, ref at, HeaderExtensionTypes.BackingFormat, Encoding.UTF8.GetBytes(format));
        }

        if (header.DataFileName is { } dataFile)
        {
            Add(bytes, ref at, HeaderExtensionTypes.DataFileName, Encoding.UTF8.GetBytes(dataFile));
        }

        AddKept(header, bytes, ref at, HeaderExtensionTypes.FullDiskEncryption);
        AddKept(header, bytes, ref at, HeaderExtensionTypes.Bitmaps);
        foreach (var extension in header.Extensions)
        {
            if (!Generated.Contains(extension.Type)
                && extension.Type is not (HeaderExtensionTypes.FullDiskEncryption or HeaderExtensionTypes.Bitmaps))
            {
                Add(bytes, ref at, extension.Type, extension.Data.Span);
            }
        }

        if (withFeatureNames && header.Version >= 3 && header.ClusterSize >= FeatureTableMinCluster)
        {
            Add(bytes, ref at, HeaderExtensionTypes.FeatureNames, FeatureTable(header));
        }

        if (at + 8 > bytes.Length)
        {
            throw TooLong();
        }

        at += 8;
        if (header.BackingFile is { Length: > 0 } backing)
        {
            AddBackingName(bytes, nameAt ?? at, Encoding.UTF8.GetBytes(backing));
        }

        return (bytes, at);
    }

    /// <summary>Bytes of the fixed fields as they are written.</summary>
    internal static int LengthOf(Qcow2Header header) => header.Version < 3
        ? HeaderFields.Version2Length
        : HeaderFields.Version3Length + ((header.UnknownFields.Length + 7) & ~7);

    /// <summary>The first byte behind the backing file's name; 0 without one.</summary>
    internal static int NameEnd(ReadOnlySpan<byte> bytes) =>
        (int)HeaderFields.U64(bytes, HeaderFields.BackingOffset) + (int)HeaderFields.U32(bytes, HeaderFields.BackingLength);

    /// <summary>The names of the features this program knows, in the order of the table's readers: by kind, then by bit.</summary>
    internal static IReadOnlyList<FeatureName> KnownNames(bool withAllZero, bool isIncomplete = false)
    {
        List<FeatureName> names =
        [
            new(0, 0, "dirty bit"),
            new(0, 1, "corrupt bit"),
            new(0, 2, "external data file"),
            new(0, 3, "compression type"),
            new(0, 4, "extended L2 entries"),
            new(1, 0, "lazy refcounts"),
            new(2, 0, "bitmaps"),
            new(2, 1, "raw external data"),
        ];
        if (isIncomplete)
        {
            names.Insert(names.FindIndex(n => n.Kind == 1), new FeatureName(0, 63, "incomplete copy"));
        }

        if (withAllZero)
        {
            names.Add(new FeatureName(2, 2, "all zero"));
        }

        return names;
    }

    private static byte[] FeatureTable(Qcow2Header header)
    {
        var names = KnownNames(
            (header.Autoclear & AutoclearFeatures.AllZero) != 0, (header.Incompatible & IncompatibleFeatures.Incomplete) != 0);
        var table = new byte[names.Count * FeatureNameLength];
        for (var i = 0; i < names.Count; i++)
        {
            var entry = table.AsSpan(i * FeatureNameLength, FeatureNameLength);
            entry[0] = names[i].Kind;
            entry[1] = names[i].Bit;
            Encoding.UTF8.GetBytes(names[i].Name, entry.Slice(2, FeatureTextLength));
        }

        return table;
    }

    private static void AddKept(Qcow2Header header, byte[] bytes, ref int at, uint type)
    {
        foreach (var extension in header.Extensions)
        {
            if (extension.Type == type)
            {
                Add(bytes, ref at, type, extension.Data.Span);
            }
        }
    }

    private static void Add(byte[] bytes, ref int at, uint type, ReadOnlySpan<byte> data)
    {
        // 8 more are needed for the end marker.
        if (at + 8L + ((data.Length + 7) & ~7) + 8 > bytes.Length)
        {
            throw TooLong();
        }

        HeaderFields.Put32(bytes, at, type);
        HeaderFields.Put32(bytes, at + 4, (uint)data.Length);
        data.CopyTo(bytes.AsSpan(at + 8));
        at += 8 + ((data.Length + 7) & ~7);
    }

    private static void AddBackingName(byte[] bytes, int at, byte[] name)
    {
        if (name.Length > Qcow2Limits.MaxBackingNameBytes)
        {
            throw new BlockException(
                ErrorCode.Invalid, $"The backing file name is longer than {Qcow2Limits.MaxBackingNameBytes} bytes.");
        }

        if (name.Length > bytes.Length - at)
        {
            throw TooLong();
        }

        HeaderFields.Put64(bytes, HeaderFields.BackingOffset, (ulong)at);
        HeaderFields.Put32(bytes, HeaderFields.BackingLength, (uint)name.Length);
        name.CopyTo(bytes.AsSpan(at));
    }

    private static BlockException TooLong() => new(
        ErrorCode.Invalid,
        "The header, its extensions and the names of the backing and data files do not fit in one cluster; use a larger one.");
}
