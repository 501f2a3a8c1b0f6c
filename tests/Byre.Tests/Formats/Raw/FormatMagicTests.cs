using System.Text;
using Byre.Formats.Raw;

namespace Byre.Tests.Formats.Raw;

public class FormatMagicTests
{
    [Theory]
    [InlineData("QFI\u00fb\0\0\0\u0001", "qcow")]
    [InlineData("QFI\u00fb\0\0\0\u0002", "qcow2")]
    [InlineData("QFI\u00fb\0\0\0\u0003", "qcow2")]
    [InlineData("QFI\u00fb\0\0\0\u0000", null)]
    [InlineData("QFI\u00fb\0\0\0\u0004", "qcow2")] // not known, and not raw for that
    [InlineData("QFI\u00fb\u00ff\u00ff\u00ff\u00ff", "qcow2")]
    [InlineData("QFI\u00fb\u0001\0\0\u0003", "qcow2")]
    [InlineData("QFI\u00fb\0\0\0", null)]
    [InlineData("QFI\u00fa\0\0\0\u0003", null)]
    [InlineData("QFI", null)]
    [InlineData("QED\0", "qed")]
    [InlineData("KDMV", "vmdk")]
    [InlineData("COWD", "vmdk")]
    [InlineData("# Disk DescriptorFile\n", "vmdk")]
    [InlineData("vhdxfile", "vhdx")]
    [InlineData("conectix", "vpc")]
    [InlineData("WithoutFreeSpace", "parallels")]
    [InlineData("WithouFreSpacExt", "parallels")]
    [InlineData("LUKS\u00ba\u00be\u0000\u0001", "luks")]
    [InlineData("LUKS\u00ba\u00be\u0000\u0002", null)] // version 2: to QEMU's tools it is raw
    [InlineData("LUKS\u00ba\u00bf", null)]
    [InlineData("LUKS", null)]
    [InlineData("Bochs Virtual HD Image", "bochs")]
    [InlineData("", null)]
    [InlineData("\0\0\0\0\0\0\0\0", null)]
    public void Signatures_are_told(string start, string? format)
    {
        var bytes = Encoding.Latin1.GetBytes(start);
        Assert.Equal(format, FormatMagic.Probe(bytes));
        Assert.Equal(format is not null, FormatMagic.LooksFormatted(bytes));
        if (start.Length != 7)
        {
            Assert.Equal(format, FormatMagic.Probe([.. bytes, .. new byte[512 - bytes.Length]]));
        }
    }

    [Fact]
    public void Vdi_is_told_by_its_65th_byte()
    {
        var sector = new byte[512];
        new byte[] { 0x7f, 0x10, 0xda, 0xbe }.CopyTo(sector, 64);
        Assert.Equal("vdi", FormatMagic.Probe(sector));
        Assert.Null(FormatMagic.Probe(sector.AsSpan(0, 67)));
        Assert.Equal("vdi", FormatMagic.Probe(sector.AsSpan(0, 68)));
    }
}
