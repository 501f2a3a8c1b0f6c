using System.Buffers.Binary;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>
/// A bitmap directory that makes no sense: the image is not opened for writing, with one clear line, and stays as it was;
/// its disk can still be read, and its bitmaps cannot be asked for.
/// </summary>
public class BitmapDamageTests
{
    private const int Cluster = 65_536;

    /// <summary>What is done to the extension, and the words that tell of it.</summary>
    public static TheoryData<string, ulong, ulong, ulong> Extensions => new()
    {
        { "no bitmaps", 0, 64, 0 },
        { "too many bitmaps", 65_536, 64, 0 },
        { "one bitmap more", 3, 64, 0 },
        { "one bitmap less", 1, 64, 0 },
        { "no bytes", 2, 0, 0 },
        { "one byte less", 2, 63, 0 },
        { "many bytes", 2, 1UL << 40, 0 },
        { "all bytes", 2, ulong.MaxValue, 0 },
        { "past the end", 2, 64 << 20, 0 },
        { "not aligned", 2, 64, 8 },
        { "outside", 2, 64, 1UL << 40 },
        { "negative", 2, 64, 1UL << 63 },
    };

    /// <summary>What is done to the first entry: a place in it, and the bytes there.</summary>
    public static TheoryData<string, int, string> Entries => new()
    {
        { "its table at", 0, "0000000000000000" },
        { "its table at", 0, "8000000000000000" },
        { "its table at", 0, "0000000000000200" },
        { "its table lies behind the end", 0, "0000100000000000" },
        { "a table of", 8, "00000000" },
        { "a table of", 8, "00000002" },
        { "a table of", 8, "ffffffff" },
        { "unknown flags", 12, "00000008" },
        { "unknown flags", 12, "80000002" },
        { "an unknown type", 16, "00" },
        { "an unknown type", 16, "02" },
        { "a granularity", 17, "08" },
        { "a granularity", 17, "20" },
        { "a granularity", 17, "ff" },
        { "a name of", 18, "0000" },
        { "is not valid", 18, "0400" },
        { "is cut off", 18, "ffff" },
        { "is cut off", 20, "ffffffff" },
        { "is cut off", 20, "7fffffff" },
        { "two bitmaps 'two'", 24, "74776f" },
    };

    /// <summary>What is done to the first entry of a bitmap's table.</summary>
    public static TheoryData<ulong> TableEntries => [2, 0x8001, 0x200, 1UL << 56, 0x10001, 0x00ff_ffff_ffff_0000, 1UL << 50];

    [Theory]
    [MemberData(nameof(Extensions))]
    public async Task Extensions_that_make_no_sense_are_refused(string what, ulong count, ulong bytes, ulong offset)
    {
        var file = await BitmapTests.WithBitmapsAsync(16 << 20, "one", "two");
        await BitmapTests.ChangeExtensionAsync(
            file, e => new BitmapsExtension((uint)count, bytes, offset == 8 ? e.DirectoryOffset + 8 : offset == 0 ? e.DirectoryOffset : offset));
        await AssertRefusedAsync(file, "bitmap directory", what);
    }

    [Theory]
    [MemberData(nameof(Entries))]
    public async Task Entries_that_make_no_sense_are_refused(string told, int at, string bytes)
    {
        var file = await BitmapTests.WithBitmapsAsync(16 << 20, "one", "two");
        await file.WriteAsync((long)await BitmapTests.DirectoryAsync(file) + at, Convert.FromHexString(bytes), WriteFlags.None);
        await AssertRefusedAsync(file, told, $"{bytes} at {at}");
    }

    [Theory]
    [MemberData(nameof(TableEntries))]
    public async Task Tables_that_make_no_sense_are_refused(ulong entry)
    {
        var file = await BitmapTests.WithBitmapsAsync(16 << 20, "one", "two");
        var start = new byte[8];
        await file.ReadAsync((long)await BitmapTests.DirectoryAsync(file), start);
        var table = BinaryPrimitives.ReadInt64BigEndian(start);
        BinaryPrimitives.WriteUInt64BigEndian(start, entry);
        await file.WriteAsync(table, start, WriteFlags.None);
        await AssertRefusedAsync(file, "entry 0 of its table", $"{entry:x}");
    }

    [Fact]
    public async Task A_directory_that_is_cut_off_is_refused()
    {
        var file = await BitmapTests.WithBitmapsAsync(16 << 20, "one", "two");
        var directory = await BitmapTests.DirectoryAsync(file);
        var whole = await BitmapTests.BytesAsync(file);
        await AssertRefusedAsync(new MemoryNode(whole.AsSpan(0, (int)directory - 3).ToArray()), "bitmap directory", "cut");
    }

    private static async Task AssertRefusedAsync(MemoryNode file, string told, string what)
    {
        var before = await BitmapTests.BytesAsync(file);
        var e = await Assert.ThrowsAsync<BlockException>(() => TestImage.OpenAsync(file));
        Assert.True(e.Code == ErrorCode.Corrupt && !e.Message.Contains('\n', StringComparison.Ordinal), $"{what}: {e.Code}: {e.Message}");
        Assert.True(e.Message.Contains(told, StringComparison.Ordinal), $"{what}: {e.Message}");
        await using (var image = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true }))
        {
            Assert.Equal(new byte[Cluster], await TestImage.ReadAsync(image, 0, Cluster));
            await Assert.ThrowsAsync<BlockException>(async () => await BitmapTests.Store(image).ListBitmapsAsync());
        }

        var after = await BitmapTests.BytesAsync(file);
        Assert.True(before.AsSpan().SequenceEqual(after), $"{what}: the file has changed");
    }
}
