using System.Globalization;
using System.Numerics;
using System.Text;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>Reads a header cluster that nobody trusts.</summary>
internal static class HeaderParser
{
    private const int FeatureNameLength = 48;
    private const ulong KnownIncompatible = (ulong)(IncompatibleFeatures.Dirty | IncompatibleFeatures.Corrupt
        | IncompatibleFeatures.DataFile | IncompatibleFeatures.CompressionType | IncompatibleFeatures.ExtendedL2);

    /// <summary>The cluster size that the first bytes name, where it is valid; 0 otherwise.</summary>
    internal static int ClusterSizeOf(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderFields.Version2Length || HeaderFields.U32(bytes, 0) != HeaderFields.Magic)
        {
            return 0;
        }

        var bits = HeaderFields.U32(bytes, HeaderFields.ClusterBits);
        return bits is >= Qcow2Limits.MinClusterBits and <= Qcow2Limits.MaxClusterBits ? 1 << (int)bits : 0;
    }

    internal static Qcow2Header Parse(ReadOnlySpan<byte> bytes, string fileName, bool forCheck)
    {
        if (bytes.Length < 4 || HeaderFields.U32(bytes, 0) != HeaderFields.Magic)
        {
            throw Failure(fileName, ErrorCode.WrongFormat, "it is not a qcow2 image");
        }

        if (bytes.Length < 8)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the qcow2 header is cut off");
        }

        var version = HeaderFields.U32(bytes, HeaderFields.Version);
        if (version is not (2 or 3))
        {
            throw Failure(fileName, ErrorCode.NotSupported, $"version {version} of qcow2 is not known here");
        }

        if (bytes.Length < (version == 2 ? HeaderFields.Version2Length : HeaderFields.Version3MinLength))
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the qcow2 header is cut off");
        }

        var header = HeaderFields.Read(bytes);
        CheckLengths(header, bytes, fileName);

        // A feature's name is wanted for the message even where the header is of a kind that is not known.
        bytes = bytes[..Math.Min(bytes.Length, header.ClusterSize)];
        header = AddVariableParts(header, bytes, fileName);
        CheckFeatures(header, fileName);
        CheckTables(header, fileName, forCheck);
        return header;
    }

    internal static BlockException Failure(string fileName, ErrorCode code, string what) =>
        new(code, $"Could not open '{fileName}': {what}", fileName);

    private static void CheckLengths(Qcow2Header header, ReadOnlySpan<byte> bytes, string fileName)
    {
        if (header.ClusterBits is < Qcow2Limits.MinClusterBits or > Qcow2Limits.MaxClusterBits)
        {
            throw Failure(fileName, ErrorCode.Corrupt, $"its clusters of 2^{(uint)header.ClusterBits} bytes are none that qcow2 has");
        }

        if (header.Version >= 3 && header.HeaderLength is >= 0 and < HeaderFields.Version3MinLength)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the qcow2 header says it is shorter than any");
        }

        if ((uint)header.HeaderLength > header.ClusterSize)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the qcow2 header says it is longer than a cluster");
        }

        if (header.HeaderLength > bytes.Length)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the qcow2 header is cut off");
        }
    }

    private static Qcow2Header AddVariableParts(Qcow2Header header, ReadOnlySpan<byte> bytes, string fileName)
    {
        var backingOffset = HeaderFields.U64(bytes, HeaderFields.BackingOffset);
        var backingLength = HeaderFields.U32(bytes, HeaderFields.BackingLength);
        if (backingOffset > (ulong)header.ClusterSize || (backingOffset != 0 && backingOffset < (ulong)header.HeaderLength))
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the name of the backing file lies where none can be");
        }

        var end = backingOffset != 0 ? (int)backingOffset : header.ClusterSize;
        if (header.HeaderLength > HeaderFields.Version3Length)
        {
            header = header with { UnknownFields = bytes[HeaderFields.Version3Length..header.HeaderLength].ToArray() };
        }

        header = AddExtensions(header, bytes, end, fileName);
        if (backingOffset == 0 || backingLength == 0)
        {
            return header;
        }

        if (backingLength > Math.Min(Qcow2Limits.MaxBackingNameBytes, header.ClusterSize - end))
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the name of the backing file is longer than the format allows");
        }

        if (end + (int)backingLength > bytes.Length)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the name of the backing file is cut off");
        }

        return header with { BackingFile = TextOf(bytes.Slice(end, (int)backingLength)) };
    }

    private static Qcow2Header AddExtensions(Qcow2Header header, ReadOnlySpan<byte> bytes, int end, string fileName)
    {
        var extensions = new List<HeaderExtension>();
        IReadOnlyList<FeatureName> names = [];
        string? backingFormat = null;
        string? dataFile = null;
        var at = header.HeaderLength;
        while (at < end)
        {
            // Past the file's end everything reads as zeroes, which is the end of the extensions.
            if (at + 4 > bytes.Length)
            {
                break;
            }

            var type = HeaderFields.U32(bytes, at);
            if (type == HeaderExtensionTypes.End)
            {
                break;
            }

            if (at + 8 > Math.Min(end, bytes.Length))
            {
                throw Failure(fileName, ErrorCode.Corrupt, "a header extension is cut off");
            }

            var length = HeaderFields.U32(bytes, at + 4);
            at += 8;
            if (length > end - at)
            {
                throw Failure(fileName, ErrorCode.Corrupt, "a header extension is longer than the header's cluster");
            }

            if (at + (int)length > bytes.Length)
            {
                throw Failure(fileName, ErrorCode.Corrupt, "a header extension is cut off");
            }

            var data = bytes.Slice(at, (int)length);
            extensions.Add(new HeaderExtension(type, data.ToArray()));
            switch (type)
            {
                case HeaderExtensionTypes.BackingFormat:
                    backingFormat = TextOf(data);
                    break;
                case HeaderExtensionTypes.DataFileName:
                    dataFile = TextOf(data);
                    break;
                case HeaderExtensionTypes.FeatureNames:
                    names = NamesOf(data);
                    break;
            }

            at += ((int)length + 7) & ~7;
        }

        return header with
        {
            Extensions = extensions, FeatureNames = names, BackingFormat = backingFormat, DataFileName = dataFile,
        };
    }

    private static List<FeatureName> NamesOf(ReadOnlySpan<byte> data)
    {
        var names = new List<FeatureName>(data.Length / FeatureNameLength);
        for (; data.Length >= FeatureNameLength; data = data[FeatureNameLength..])
        {
            names.Add(new FeatureName(data[0], data[1], TextOf(data[2..FeatureNameLength])));
        }

        return names;
    }

    private static string TextOf(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? bytes : bytes[..end]);
    }

    private static void CheckFeatures(Qcow2Header header, string fileName)
    {
        var unknown = (ulong)header.Incompatible & ~KnownIncompatible;
        if (unknown == (ulong)IncompatibleFeatures.Incomplete)
        {
            throw Failure(fileName, ErrorCode.NotSupported, "The image is incomplete: the copy that was to fill it has not ended");
        }

        if (unknown != 0)
        {
            throw Failure(fileName, ErrorCode.NotSupported, $"it uses qcow2 features that are not known here: {NamesOf(header, unknown)}");
        }

        if (header.CompressionType > Qcow2CompressionType.Zstd)
        {
            throw Failure(fileName, ErrorCode.NotSupported, $"compression type {(byte)header.CompressionType} is not known here");
        }

        if ((header.CompressionType != Qcow2CompressionType.Zlib)
            != ((header.Incompatible & IncompatibleFeatures.CompressionType) != 0))
        {
            throw Failure(
                fileName, ErrorCode.Corrupt, "The compression type feature bit and the compression type do not agree");
        }

        if (header.HasSubclusters && header.ClusterBits < Qcow2Limits.MinSubclusterClusterBits)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "extended L2 entries need clusters of at least 16 KiB");
        }

        if ((uint)header.RefcountOrder > 6)
        {
            throw Failure(fileName, ErrorCode.Corrupt, "its refcounts have more than 64 bits");
        }

        if (header.CryptMethod > 2)
        {
            throw Failure(fileName, ErrorCode.NotSupported, $"encryption method {header.CryptMethod} is not known here");
        }
    }

    private static string NamesOf(Qcow2Header header, ulong bits)
    {
        var text = new StringBuilder();
        foreach (var name in header.FeatureNames)
        {
            if (name.Kind == 0 && name.Bit < 64 && (bits >> name.Bit & 1) != 0)
            {
                Append(text, Printable(name.Name));
                bits &= ~(1UL << name.Bit);
            }
        }

        for (; bits != 0; bits &= bits - 1)
        {
            Append(text, string.Create(
                CultureInfo.InvariantCulture, $"Unknown incompatible feature: bit {BitOperations.TrailingZeroCount(bits)}"));
        }

        return text.ToString();

        static void Append(StringBuilder to, string what) => to.Append(to.Length == 0 ? "" : ", ").Append(what);
    }

    /// <summary>A name out of an image must not break the line that it is shown in.</summary>
    private static string Printable(string name) => string.Concat(name.Select(c => char.IsControl(c) ? '?' : c));

    private static void CheckTables(Qcow2Header header, string fileName, bool forCheck)
    {
        if (header.Size < 0)
        {
            throw Failure(fileName, ErrorCode.TooLarge, "Image is too big");
        }

        var geometry = ImageGeometry.From(header);
        if (header.L1Entries > Qcow2Limits.MaxL1Bytes / 8)
        {
            throw Failure(fileName, ErrorCode.TooLarge, "the L1 table is longer than any disk needs");
        }

        CheckTable(header, header.L1Offset, header.L1Entries * 8L, "L1 table", fileName);
        if (header.L1Entries < geometry.L1EntriesFor(header.Size))
        {
            throw Failure(fileName, ErrorCode.Corrupt, "the L1 table is too short for the disk");
        }

        if (forCheck)
        {
            return; // what is wrong with the other tables is found by the check
        }

        if (header.RefcountTableClusters > (uint)(Qcow2Limits.MaxRefcountTableBytes >> header.ClusterBits))
        {
            throw Failure(fileName, ErrorCode.TooLarge, "the refcount table has over 8 MiB");
        }

        CheckTable(
            header, header.RefcountTableOffset, (long)header.RefcountTableClusters << header.ClusterBits,
            "refcount table", fileName);
        if (header.SnapshotCount > Qcow2Limits.MaxSnapshots)
        {
            throw Failure(fileName, ErrorCode.TooLarge, "it claims more snapshots than the format allows");
        }

        CheckTable(header, header.SnapshotsOffset, header.SnapshotCount * 40L, "snapshot table", fileName);
    }

    private static void CheckTable(Qcow2Header header, long offset, long bytes, string what, string fileName)
    {
        if (bytes != 0 && !IsPossibleTable(header, offset, bytes))
        {
            throw Failure(fileName, ErrorCode.Corrupt, $"the offset of the {what} cannot be right");
        }
    }

    /// <summary>A table can be at this place: a cluster's beginning behind the header.</summary>
    internal static bool IsPossibleTable(Qcow2Header header, long offset, long bytes) =>
        offset > 0 && (offset & (header.ClusterSize - 1)) == 0 && offset <= long.MaxValue - bytes - header.ClusterSize;
}
