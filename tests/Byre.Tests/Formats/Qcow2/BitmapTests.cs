using Byre.Bitmaps;
using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Bitmaps in an image: they are stored as they were, say when they cannot be trusted, and follow the disk.</summary>
public class BitmapTests
{
    [Theory]
    [InlineData("cluster_size=512", 512)]
    [InlineData("cluster_size=4k", 65_536)]
    [InlineData("cluster_size=64k", 512)]
    [InlineData("cluster_size=4k,refcount_bits=1", 4096)]
    [InlineData("cluster_size=4k,lazy_refcounts=on", 4096)]
    public async Task What_was_recorded_is_there_when_the_image_is_opened_again(string options, long granularity)
    {
        const int size = 20 << 20;
        var file = TestImage.Create(size, options);
        var random = new Random(3);
        var expected = new DirtyBitmap("model", size, granularity);
        await using (var image = await TestImage.OpenAsync(file))
        {
            await Store(image).AddBitmapAsync("kept", granularity, isEnabled: true);
            await Store(image).AddBitmapAsync("off", 0, isEnabled: false);
        }

        for (var session = 0; session < 3; session++)
        {
            await using (var image = await TestImage.OpenAsync(file))
            {
                for (var i = 0; i < 10; i++)
                {
                    var offset = random.Next(size - 100_000);
                    var length = random.Next(1, 100_000);
                    expected.Set(offset, length);
                    await (random.Next(3) switch
                    {
                        0 => image.WriteAsync(offset, TestImage.Bytes(length, i)),
                        1 => image.WriteZeroesAsync(offset, length, WriteFlags.MayUnmap),
                        _ => image.DiscardAsync(offset, length),
                    });
                }
            }

            await TestImage.CheckAsync(file, $"session {session}");
            await using var again = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true });
            var bitmaps = await Store(again).ListBitmapsAsync();
            Assert.Equal(["kept", "off"], bitmaps.Select(b => b.Name));
            Assert.Equal((granularity, true, false), (bitmaps[0].Granularity, bitmaps[0].IsEnabled, bitmaps[0].IsInconsistent));
            Assert.Equal((0, false), (bitmaps[1].DirtyBytes, bitmaps[1].IsEnabled));
            AssertSame(expected, bitmaps[0], $"session {session}");
        }
    }

    [Fact]
    public async Task Clusters_that_are_all_alike_take_no_space()
    {
        var file = TestImage.Create(64 << 20, "cluster_size=512"); // a cluster of bits tells of 2 MiB
        await using (var image = await TestImage.OpenAsync(file))
        {
            var bitmap = await Store(image).AddBitmapAsync("b", 512, isEnabled: false);
            bitmap.Set(0, 33 << 20);
        }

        var table = await TableAsync(file, 0);
        Assert.Equal(32, table.Length);
        Assert.All(table[..16], entry => Assert.Equal(1UL, entry.Raw));
        Assert.True(table[16].Cluster.Value > 0);
        Assert.All(table[17..], entry => Assert.Equal(0UL, entry.Raw));
        await TestImage.CheckAsync(file, "all ones");
        await using var again = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true });
        Assert.Equal(33 << 20, (await Store(again).ListBitmapsAsync())[0].DirtyBytes);
    }

    [Fact]
    public async Task Enabled_bitmaps_are_marked_durably_before_the_first_change_and_not_by_opening()
    {
        foreach (var change in new Func<BlockEdge, ValueTask>[]
        {
            e => e.WriteAsync(0, new byte[512]), e => e.WriteZeroesAsync(0, 65_536), e => e.DiscardAsync(0, 65_536),
        })
        {
            var file = await WithBitmapsAsync(1 << 20, "on", "-off");
            var log = new WriteLogNode(new BlockEdge(new KeepOpenNode(file), ChildRole.Filtered | ChildRole.Primary, TestImage.All, "file"));
            var edge = new BlockEdge(log, ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
            var node = await Qcow2Node.OpenAsync(edge, await Qcow2HeaderReader.ReadAsync(edge), null, null, new Qcow2OpenOptions());
            await using (var image = new BlockEdge(node, ChildRole.None, TestImage.All))
            {
                Assert.Empty(log.Entries);
                Assert.Equal([("on", false), ("off", false)], await FlagsAsync(file));
                await change(image);
                Assert.Equal((WriteLogKind.Write, (long)await DirectoryAsync(file)), (log.Entries[0].Kind, log.Entries[0].Offset));
                Assert.Equal(WriteLogKind.Flush, log.Entries[1].Kind);
                Assert.Equal([("on", true), ("off", false)], await FlagsAsync(file));
            }

            Assert.Equal([("on", false), ("off", false)], await FlagsAsync(file));
        }
    }

    [Fact]
    public async Task A_bitmap_that_was_left_in_use_is_inconsistent_and_can_only_be_removed()
    {
        var file = await WithBitmapsAsync(1 << 20, "on", "-off");
        var dead = await TestImage.OpenAsync(file);
        await dead.WriteAsync(0, new byte[512]);
        await dead.FlushAsync();
        var crashed = await CopyAsync(file);
        await dead.DisposeAsync();
        await using (var image = await TestImage.OpenAsync(crashed))
        {
            var bitmaps = await Store(image).ListBitmapsAsync();
            Assert.Equal([true, false], bitmaps.Select(b => b.IsInconsistent));
            foreach (var use in new Func<IPersistentBitmaps, ValueTask>[]
            {
                s => s.ClearBitmapAsync("on"), s => s.EnableBitmapAsync("on", true), s => s.MergeBitmapAsync("on", bitmaps[1]),
                s => s.MergeBitmapAsync("off", bitmaps[0]),
            })
            {
                Assert.Contains("'on' is inconsistent", (await Assert.ThrowsAsync<BlockException>(async () => await use(Store(image)))).Message, StringComparison.Ordinal);
            }

            await Assert.ThrowsAsync<BlockException>(async () => await image.ResizeAsync(2 << 20));
            await image.WriteAsync(65_536, new byte[512]);
        }

        Assert.Equal([("on", true), ("off", false)], await FlagsAsync(crashed));
        await TestImage.CheckAsync(crashed, "kept");
        await using (var image = await TestImage.OpenAsync(crashed))
        {
            await Store(image).RemoveBitmapAsync("on");
            await image.ResizeAsync(2 << 20);
        }

        Assert.Equal([("off", false)], await FlagsAsync(crashed));
        await TestImage.CheckAsync(crashed, "removed");
    }

    [Fact]
    public async Task Stored_bitmaps_change_only_through_the_image_until_they_are_marked()
    {
        var file = await WithBitmapsAsync(1 << 20, "-off");
        await using var image = await TestImage.OpenAsync(file);
        var bitmap = (await Store(image).ListBitmapsAsync())[0];
        Assert.Equal(ErrorCode.ReadOnly, Assert.Throws<BlockException>(() => bitmap.Set(0, 1)).Code);
        Assert.Equal(ErrorCode.ReadOnly, Assert.Throws<BlockException>(() => bitmap.Enable(true)).Code);
        Assert.Same(bitmap, await Store(image).UseBitmapAsync("off"));
        Assert.Equal([("off", true)], await FlagsAsync(file));
        bitmap.Set(0, 1);
    }

    [Fact]
    public async Task Removing_the_last_bitmap_leaves_an_image_without_any()
    {
        var file = await WithBitmapsAsync(1 << 20, "one", "two");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await Store(image).RemoveBitmapAsync("one");
            Assert.Equal([("two", false)], await FlagsAsync(file));
            Assert.Equal(ErrorCode.NotFound, (await Assert.ThrowsAsync<BlockException>(async () => await Store(image).RemoveBitmapAsync("one"))).Code);
            await Store(image).RemoveBitmapAsync("two");
        }

        await TestImage.CheckAsync(file, "removed");
        var header = await HeaderAsync(file);
        Assert.Equal((null, AutoclearFeatures.None), (header.FindExtension(HeaderExtensionTypes.Bitmaps), header.Autoclear));
    }

    [Theory]
    [InlineData(1 << 20, 5 << 20)]
    [InlineData(5 << 20, 1 << 20)]
    public async Task Bitmaps_follow_the_disk_to_another_length(int from, int to)
    {
        var file = TestImage.Create(from, "cluster_size=512"); // the table's length changes too
        await using (var image = await TestImage.OpenAsync(file))
        {
            await Store(image).AddBitmapAsync("on", 512, isEnabled: true);
            await Store(image).AddBitmapAsync("off", 512, isEnabled: false);
            await image.WriteAsync(0, new byte[512]);
            await image.WriteAsync(from - 512, new byte[512]);
        }

        await using (var image = await TestImage.OpenAsync(file))
        {
            await image.ResizeAsync(to);
            Assert.Equal([("on", true), ("off", true)], await FlagsAsync(file));
            await image.WriteAsync(to - 512, new byte[512]);
        }

        await TestImage.CheckAsync(file, "resized");
        await using var again = await TestImage.OpenAsync(file);
        var bitmap = (await Store(again).ListBitmapsAsync())[0];
        Assert.Equal((from < to ? 3 : 2) * 512, bitmap.DirtyBytes);
        Assert.True(bitmap.IsDirty(0) && bitmap.IsDirty(to - 512));
    }

    [Theory]
    [InlineData(5 << 20, 16)]
    [InlineData(5 << 20, 64)]
    [InlineData(1 << 20, 8)]
    public async Task Bitmaps_follow_an_amended_image(int to, int refcountBits)
    {
        var file = TestImage.Create(2 << 20, "cluster_size=512");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await Store(image).AddBitmapAsync("on", 512, isEnabled: true);
            await image.WriteAsync(0, new byte[512]);
            await ((Qcow2Node)image.Node).AmendAsync(new Qcow2AmendOptions { Size = to, RefcountBits = refcountBits });
        }

        await TestImage.CheckAsync(file, "amended");
        await using var again = await TestImage.OpenAsync(file);
        var bitmap = (await Store(again).ListBitmapsAsync())[0];
        Assert.Equal((to, 512, false), (bitmap.Length, bitmap.DirtyBytes, bitmap.IsInconsistent));
    }

    [Fact]
    public async Task An_image_with_a_new_bitmap_is_not_lowered_to_version_2()
    {
        var file = TestImage.Create(1 << 20, "cluster_size=4k");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await Store(image).AddBitmapAsync("on", 0, isEnabled: true);
            await Assert.ThrowsAsync<BlockException>(async () => await ((Qcow2Node)image.Node).AmendAsync(new Qcow2AmendOptions { Version = 2 }));
        }

        Assert.Equal([("on", false)], await FlagsAsync(file));
        await TestImage.CheckAsync(file, "not amended");
    }

    [Theory]
    [InlineData("compat=0.10", 1 << 20, 65_536, ErrorCode.NotSupported)]
    [InlineData("cluster_size=4k", 0, 65_536, ErrorCode.NotSupported)]
    [InlineData("cluster_size=64k", (1L << 41) + 512, 512, ErrorCode.TooLarge)]
    [InlineData("cluster_size=64k", 1 << 20, 1000, ErrorCode.Invalid)]
    public async Task What_the_image_cannot_keep_is_refused(string options, long size, long granularity, ErrorCode code)
    {
        var file = TestImage.Create(size, options);
        var before = await CopyAsync(file);
        await using (var image = await TestImage.OpenAsync(file))
        {
            var e = await Assert.ThrowsAsync<BlockException>(async () => await Store(image).AddBitmapAsync("b", granularity, isEnabled: true));
            Assert.Equal(code, e.Code);
        }

        Assert.Equal(await BytesAsync(before), await BytesAsync(file));
    }

    [Fact]
    public async Task A_full_disk_loses_bitmaps_and_no_data()
    {
        var file = await WithBitmapsAsync(1 << 20, "on");
        var fault = new FaultNode(
            new BlockEdge(new KeepOpenNode(file), ChildRole.Filtered | ChildRole.Primary, TestImage.All, "file"), new FaultOptions { Rules = [] });
        var edge = new BlockEdge(fault, ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
        var image = new BlockEdge(
            await Qcow2Node.OpenAsync(edge, await Qcow2HeaderReader.ReadAsync(edge), null, null, new Qcow2OpenOptions()), ChildRole.None, TestImage.All);
        await image.WriteAsync(0, TestImage.Bytes(65_536, 1));
        await image.FlushAsync();
        fault.Add(new FaultRule { Kinds = FaultKinds.Write, Count = 1, Errno = 28 });
        var e = await Assert.ThrowsAsync<BlockException>(async () => await image.DisposeAsync());
        Assert.Equal(ErrorCode.NoSpace, e.Code);
        Assert.Contains("its data is not affected", e.Message, StringComparison.Ordinal);
        await TestImage.CheckAsync(file, "full");
        Assert.Equal([("on", true)], await FlagsAsync(file));
        await using var again = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true });
        Assert.Equal(TestImage.Bytes(65_536, 1), await TestImage.ReadAsync(again, 0, 65_536));
    }

    [Fact]
    public async Task Where_a_program_without_bitmaps_wrote_they_count_as_absent_and_are_no_metadata()
    {
        var file = await WithBitmapsAsync(1 << 20, "on");
        var directory = await DirectoryAsync(file);
        await file.WriteAsync(88, new byte[8], WriteFlags.None);
        await using (var image = await TestImage.OpenAsync(file))
        {
            Assert.Empty(await Store(image).ListBitmapsAsync());
            Assert.Equal(OverlapChecks.None, ((Qcow2Node)image.Node).Guarded.Find(new HostOffset((long)directory), 1));
            await Store(image).AddBitmapAsync("on", 0, isEnabled: true);
        }

        Assert.Equal([("on", false)], await FlagsAsync(file));
    }

    /// <summary>qcow2 specification, "Bitmap directory": extra data that is not known.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Extra_data_is_kept_and_says_whether_the_bitmap_can_be_used(bool isCompatible)
    {
        var file = await WithBitmapsAsync(1 << 20, "on");
        var directory = (long)await DirectoryAsync(file);
        var old = new byte[32];
        await file.ReadAsync(directory, old);
        var entry = new byte[40];
        var start = BitmapEntry.Read(old) with { ExtraBytes = 8, Flags = BitmapEntry.Auto | (isCompatible ? BitmapEntry.ExtraDataCompatible : 0) };
        start.Write(entry);
        "unknown!"u8.CopyTo(entry.AsSpan(24));
        "on"u8.CopyTo(entry.AsSpan(32));
        await file.WriteAsync(directory, entry, WriteFlags.None);
        await ChangeExtensionAsync(file, e => e with { DirectoryBytes = 40 });
        await using (var image = await TestImage.OpenAsync(file))
        {
            Assert.Equal(!isCompatible, (await Store(image).ListBitmapsAsync())[0].IsInconsistent);
            await Store(image).AddBitmapAsync("new", 0, isEnabled: false);
            await image.WriteAsync(0, new byte[512]);
        }

        var header = await HeaderAsync(file);
        var stored = new byte[40];
        await file.ReadAsync((long)await DirectoryAsync(file), stored);
        Assert.Equal(entry[20..], stored[20..]);
        Assert.Equal(start.Flags | (isCompatible ? 0 : BitmapEntry.InUse), BitmapEntry.Read(stored).Flags); // it missed a write
        Assert.Equal(2U, BitmapsExtension.Read(header.FindExtension(HeaderExtensionTypes.Bitmaps)!.Data.Span)!.Value.Count);
    }

    internal static IPersistentBitmaps Store(BlockEdge image) => (IPersistentBitmaps)image.Node;

    /// <summary>An image with bitmaps that qemu-img made; one with a dash before its name is disabled.</summary>
    internal static async Task<MemoryNode> WithBitmapsAsync(long size, params string[] names)
    {
        using var scratch = new TestImage.Scratch();
        var path = scratch.File("b.qcow2");
        TestImage.QemuImg($"create -q -f qcow2 {path} {size}");
        foreach (var name in names)
        {
            TestImage.QemuImg($"bitmap --add {(name[0] == '-' ? "--disable " : "")}{path} {name.TrimStart('-')}");
        }

        return new MemoryNode(await File.ReadAllBytesAsync(path));
    }

    internal static async Task<Qcow2Header> HeaderAsync(MemoryNode file) => await Qcow2HeaderReader.ReadAsync(Edge(file));

    internal static async Task<ulong> DirectoryAsync(MemoryNode file) =>
        BitmapsExtension.Read((await HeaderAsync(file)).FindExtension(HeaderExtensionTypes.Bitmaps)!.Data.Span)!.Value.DirectoryOffset;

    internal static async Task<byte[]> BytesAsync(MemoryNode file)
    {
        var bytes = new byte[file.Length];
        await file.ReadAsync(0, bytes);
        return bytes;
    }

    /// <summary>Replaces the extension in the header, in place.</summary>
    internal static async Task ChangeExtensionAsync(MemoryNode file, Func<BitmapsExtension, BitmapsExtension> change)
    {
        var bytes = await BytesAsync(file);
        var at = bytes.AsSpan(0, 4096).IndexOf((byte[])[0x23, 0x85, 0x28, 0x75, 0, 0, 0, 24]) + 8;
        change(BitmapsExtension.Read(bytes.AsSpan(at))!.Value).Write(bytes.AsSpan(at));
        await file.WriteAsync(at, bytes.AsMemory(at, 24), WriteFlags.None);
    }

    private static BlockEdge Edge(MemoryNode file) => new(new KeepOpenNode(file), ChildRole.None, TestImage.All);

    private static async Task<MemoryNode> CopyAsync(MemoryNode file) => new(await BytesAsync(file));

    private static async Task<List<(string Name, bool InUse)>> FlagsAsync(MemoryNode file) =>
        [.. (await Qcow2Listing.BitmapsAsync(Edge(file), await HeaderAsync(file))).Select(b => (b.Name, b.IsInUse))];

    private static async Task<BitmapTableEntry[]> TableAsync(MemoryNode file, int index)
    {
        var reader = new BitmapReader(Edge(file), await HeaderAsync(file));
        var place = reader.Extension()!.Value;
        return await reader.TableAsync(reader.Entries(await reader.DirectoryAsync(place), place)[index]);
    }

    private static void AssertSame(DirtyBitmap expected, DirtyBitmap actual, string what)
    {
        for (long at = 0; at < expected.Length; at += 512)
        {
            Assert.True(expected.IsDirty(at) == actual.IsDirty(at), $"{what}: byte {at}");
        }
    }
}
