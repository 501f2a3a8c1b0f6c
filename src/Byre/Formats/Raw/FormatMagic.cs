using System.Buffers.Binary;

namespace Byre.Formats.Raw;

/// <summary>The signatures at the beginning of the image formats that can be told by one.</summary>
public static class FormatMagic
{
    /// <summary>The name of the format whose signature the sector carries, or null: then it is taken for raw.</summary>
    /// <param name="sector">The first bytes of the image, 512 if there are as many.</param>
    public static string? Probe(ReadOnlySpan<byte> sector)
    {
        if (sector.StartsWith("QFI\xfb"u8[..3]) && sector.Length >= 8 && sector[3] == 0xfb)
        {
            // Any later version than the first is qcow2's, those that are not known included: they are not taken for raw.
            return BinaryPrimitives.ReadUInt32BigEndian(sector[4..]) switch { 0 => null, 1 => "qcow", _ => "qcow2" };
        }

        return sector switch
        {
            _ when sector.StartsWith("QED\0"u8) => "qed",
            _ when sector.StartsWith("KDMV"u8) || sector.StartsWith("COWD"u8) => "vmdk",
            _ when sector.StartsWith("# Disk DescriptorFile"u8) => "vmdk",
            _ when sector.StartsWith("vhdxfile"u8) => "vhdx",
            _ when sector.StartsWith("conectix"u8) => "vpc",
            _ when sector.StartsWith("WithoutFreeSpace"u8) || sector.StartsWith("WithouFreSpacExt"u8) => "parallels",
            _ when sector.StartsWith("LUKS\xba\xbe"u8[..4]) && sector.Length > 7 && sector[4] == 0xba && sector[5] == 0xbe
                && sector[6] == 0 && sector[7] == 1 => "luks",
            _ when sector.StartsWith("Bochs Virtual HD Image"u8) => "bochs",
            _ when sector.Length >= 68 && sector[64] == 0x7f && sector[65] == 0x10 && sector[66] == 0xda && sector[67] == 0xbe => "vdi",
            _ => null,
        };
    }

    /// <summary>The sector carries the signature of a format other than raw.</summary>
    public static bool LooksFormatted(ReadOnlySpan<byte> sector) => Probe(sector) is not null;
}
