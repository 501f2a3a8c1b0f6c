using Byre.Formats.Qcow2.Layout;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Whole entries of the bitmap directory: golden bytes, and the same bytes after reading and writing.</summary>
public class BitmapDirectoryTests
{
    private static readonly Qcow2Header Header = new() { Version = 3, ClusterBits = 16, Size = 1 << 30 };

    [Fact]
    public void Golden_bytes()
    {
        const string golden =
            "0000000000050000" + "00000001" + "00000002" + "01" + "10" + "0003" + "00000000" + "6e6574" + "0000000000"
            + "0000000000070000" + "00000009" + "00000005" + "01" + "09" + "0008" + "00000003" + "abcdef" + "6e616368746c6963" + "0000000000";
        var entries = BitmapDirectory.Read(Convert.FromHexString(golden), 2, Header, "disk");
        Assert.Equal(new BitmapEntry(0x50000, 1, 2, 1, 16, 3, 0), entries[0].Fixed);
        Assert.Equal(("net", false, "abcdef"), (entries[0].Name, entries[0].IsBeyondUse, Convert.ToHexStringLower(entries[1].Extra.Span)));
        Assert.True(entries[1] is { Name: "nachtlic", Fixed: { IsInUse: true, IsAuto: false }, IsBeyondUse: false });
        Assert.Equal(golden, Convert.ToHexStringLower(BitmapDirectory.ToBytes(entries)));
        var made = BitmapDirectoryEntry.Create("net", new BitmapEntry(0x50000, 1, 2, 1, 16, 99, 99));
        Assert.Equal(golden[..64], Convert.ToHexStringLower(BitmapDirectory.ToBytes([made])));
    }

    [Theory]
    [InlineData(0, 16, 16, 0)]
    [InlineData(1, 16, 16, 1)]
    [InlineData(1L << 30, 16, 16, 1)]
    [InlineData(1L << 44, 16, 16, 512)]
    [InlineData((1L << 44) + 1, 16, 16, 513)]
    [InlineData(1 << 21, 9, 9, 1)]
    [InlineData((1 << 21) + 1, 9, 9, 2)]
    [InlineData(long.MaxValue, 31, 21, 256)]
    public void Tables_tell_of_the_whole_disk(long size, int granularityBits, int clusterBits, long expected) =>
        Assert.Equal(expected, BitmapDirectory.TableEntriesFor(size, granularityBits, clusterBits));

    [Fact]
    public void Names_up_to_the_limit_survive()
    {
        foreach (var length in new[] { 1, 7, 8, 9, 1023 })
        {
            var name = new string('n', length);
            var bytes = BitmapDirectory.ToBytes([BitmapDirectoryEntry.Create(name, new BitmapEntry(0x50000, 1, 0, 1, 16, 0, 0))]);
            Assert.Equal(0, bytes.Length % 8);
            Assert.Equal(name, BitmapDirectory.Read(bytes, 1, Header, "disk")[0].Name);
        }
    }
}
