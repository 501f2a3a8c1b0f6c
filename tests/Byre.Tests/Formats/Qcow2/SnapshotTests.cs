using System.Globalization;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Internal snapshots of images that stay open meanwhile, against what the disk held; qemu-img checks what is left.</summary>
public class SnapshotTests
{
    private const int Mebi = 1 << 20;

    [Theory]
    [InlineData("cluster_size=64k", 0)]
    [InlineData("cluster_size=512,refcount_bits=64", 1)]
    [InlineData("cluster_size=4k,compat=0.10", 2)]
    [InlineData("cluster_size=16k,extended_l2=on", 3)]
    [InlineData("cluster_size=4k,refcount_bits=4", 4)]
    [InlineData("cluster_size=4k,lazy_refcounts=on", 5)]
    [InlineData("cluster_size=2M,refcount_bits=32", 6)]
    public async Task A_live_image_takes_applies_and_deletes_snapshots(string options, int seed)
    {
        var file = TestImage.Create(Mebi + 1536, options);
        var random = new Random(seed);
        var content = new byte[Mebi + 1536];
        var states = new List<(string Name, byte[] Content)>();
        await using (var image = await TestImage.OpenAsync(file))
        {
            var store = (ISnapshotStore)image.Node;
            for (var step = 0; step < 40; step++)
            {
                for (var i = 0; i < 4; i++)
                {
                    await ChangeAsync(image, content, random);
                }

                var action = random.Next(4);
                if (action == 0 || states.Count == 0)
                {
                    var name = $"s{step}";
                    if (states.Count < 6)
                    {
                        var info = await store.CreateSnapshotAsync(new SnapshotRequest { Name = name });
                        Assert.Equal((name, (ulong)content.Length), (info.Name, info.DiskSize));
                        states.Add((name, (byte[])content.Clone()));
                    }
                }
                else if (action == 1)
                {
                    var (name, was) = states[random.Next(states.Count)];
                    await store.ApplySnapshotAsync(SnapshotSelector.Of(name));
                    content = (byte[])was.Clone();
                }
                else if (action == 2)
                {
                    var index = random.Next(states.Count);
                    await store.DeleteSnapshotAsync(new SnapshotSelector(null, states[index].Name));
                    states.RemoveAt(index);
                }

                Assert.Equal(content, await TestImage.ReadAsync(image, 0, (int)image.Length));
                Assert.Equal(states.Select(s => s.Name), (await store.ListSnapshotsAsync()).Select(s => s.Name));
            }

            Assert.Equal(0, ((Qcow2Node)image.Node).UncountedReleases);
        }

        await TestImage.CheckAsync(file, options);
        foreach (var (name, was) in states)
        {
            await using var shown = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true, Snapshot = SnapshotSelector.Of(name) });
            Assert.Equal(was, await TestImage.ReadAsync(shown, 0, (int)shown.Length));
        }
    }

    [Fact]
    public async Task Requests_of_users_wait_for_a_snapshot_and_go_on()
    {
        var file = TestImage.Create(Mebi, "cluster_size=4k");
        await using var image = await TestImage.OpenAsync(file);
        var store = (ISnapshotStore)image.Node;
        using var stop = new CancellationTokenSource();
        var writers = Enumerable.Range(0, 3).Select(w => Task.Run(async () =>
        {
            var random = new Random(w);
            var value = 0;
            while (!stop.IsCancellationRequested || value < 20)
            {
                value++;
                var at = ((random.Next(80) * 3) + w) * 4096L;
                await image.WriteAsync(at, Enumerable.Repeat((byte)value, 4096).ToArray());
                Assert.Equal((byte)value, (await TestImage.ReadAsync(image, at, 1))[0]);
            }
        })).ToArray();
        for (var i = 0; i < 12; i++)
        {
            await store.CreateSnapshotAsync(new SnapshotRequest { Name = i.ToString(CultureInfo.InvariantCulture) });
            if (i % 3 == 2)
            {
                await store.DeleteSnapshotAsync(new SnapshotSelector(null, (i - 1).ToString(CultureInfo.InvariantCulture)));
            }
        }

        await stop.CancelAsync();
        await Task.WhenAll(writers);
        await image.DisposeAsync();
        await TestImage.CheckAsync(file, "written by three threads");
    }

    [Fact]
    public async Task A_snapshot_is_found_by_id_by_name_and_by_both()
    {
        var file = TestImage.Create(Mebi, "cluster_size=64k");
        await using var image = await TestImage.OpenAsync(file);
        var store = (ISnapshotStore)image.Node;
        foreach (var name in new[] { "2", "other", "other", "" })
        {
            await store.CreateSnapshotAsync(new SnapshotRequest { Name = name });
        }

        var list = await store.ListSnapshotsAsync();
        Assert.Equal(["1", "2", "3", "4"], list.Select(s => s.Id));
        Assert.Equal(1, SnapshotSelector.Of("2").IndexIn(list)); // an id goes before a name
        Assert.Equal(0, new SnapshotSelector(null, "2").IndexIn(list));
        Assert.Equal(1, SnapshotSelector.Of("other").IndexIn(list));
        Assert.Equal(2, new SnapshotSelector("3", "other").IndexIn(list));
        Assert.Equal(-1, new SnapshotSelector("1", "other").IndexIn(list));
        Assert.Equal(-1, new SnapshotSelector(null, null).IndexIn(list));
        await store.DeleteSnapshotAsync(new SnapshotSelector("4", null));
        await store.DeleteSnapshotAsync(new SnapshotSelector("2", "other"));
        Assert.Equal("4", (await store.CreateSnapshotAsync(new SnapshotRequest { Name = "next" })).Id);
        Assert.Equal(
            ErrorCode.NotFound, (await Assert.ThrowsAsync<BlockException>(async () => await store.ApplySnapshotAsync(SnapshotSelector.Of("gone")))).Code);
        Assert.Equal(
            ErrorCode.NotFound, (await Assert.ThrowsAsync<BlockException>(async () => await store.DeleteSnapshotAsync(new SnapshotSelector(null, "gone")))).Code);
    }

    [Fact]
    public async Task A_snapshot_says_what_was_asked_for()
    {
        var file = TestImage.Create(Mebi, "cluster_size=4k");
        await using var image = await TestImage.OpenAsync(file);
        var store = (ISnapshotStore)image.Node;
        var request = new SnapshotRequest
        {
            Name = "näme", Date = DateTimeOffset.UnixEpoch.AddTicks(12_345_678_901), VmClockNanoseconds = 77, VmStateSize = 5_000_000_000, Icount = 9,
        };
        var info = new SnapshotInfo("1", "näme", 1234, 567_890_100, 77, 5_000_000_000, Mebi, 9);
        Assert.Equal(info, await store.CreateSnapshotAsync(request));
        Assert.Equal(info, Assert.Single(await store.ListSnapshotsAsync()));
        Assert.Equal(ErrorCode.Invalid, (await FailAsync(request with { Name = new string('ä', 128) })).Code);
        Assert.Equal(ErrorCode.NotSupported, (await FailAsync(request with { Date = DateTimeOffset.UnixEpoch.AddTicks(-1) })).Code);
        Assert.Equal(ErrorCode.NotSupported, (await FailAsync(request with { Date = DateTimeOffset.UnixEpoch.AddSeconds(1L << 32) })).Code);
        Assert.Single(await store.ListSnapshotsAsync());

        Task<BlockException> FailAsync(SnapshotRequest bad) => Assert.ThrowsAsync<BlockException>(async () => await store.CreateSnapshotAsync(bad));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 3)]
    [InlineData(4, 15)]
    public async Task Counts_without_room_refuse_a_snapshot_and_change_nothing(int bits, int most)
    {
        var file = TestImage.Create(Mebi, $"cluster_size=4k,refcount_bits={bits}");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await image.WriteAsync(0, TestImage.Bytes(100_000, 1));
            await image.FlushAsync();
            var store = (ISnapshotStore)image.Node;
            for (var i = 1; i < most; i++)
            {
                await store.CreateSnapshotAsync(new SnapshotRequest { Name = "fits" });
            }

            var before = await BytesAsync(file);
            var failure = await Assert.ThrowsAsync<BlockException>(async () => await store.CreateSnapshotAsync(new SnapshotRequest { Name = "too many" }));
            Assert.Equal(ErrorCode.TooLarge, failure.Code);
            Assert.Equal(before, await BytesAsync(file));
            Assert.Equal(most - 1, (await store.ListSnapshotsAsync()).Count);
            if (most > 1)
            {
                failure = await Assert.ThrowsAsync<BlockException>(async () => await store.ApplySnapshotAsync(SnapshotSelector.Of("1")));
                Assert.Equal(ErrorCode.TooLarge, failure.Code);
                Assert.Equal(before, await BytesAsync(file));
            }

            await image.WriteAsync(50_000, TestImage.Bytes(100_000, 2));
        }

        await TestImage.CheckAsync(file, "after a refused snapshot");
    }

    [Fact]
    public async Task An_image_that_is_only_read_or_has_a_data_file_takes_no_snapshot()
    {
        var file = TestImage.Create(Mebi, "cluster_size=4k");
        await using (var image = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true }))
        {
            Assert.Equal(ErrorCode.ReadOnly, await CreateAsync(image));
        }

        var external = TestImage.Create(Mebi, "data_file=data.raw");
        var data = new MemoryNode(Mebi);
        await using (var image = await TestImage.OpenAsync(external, dataFile: data))
        {
            Assert.Equal(ErrorCode.NotSupported, await CreateAsync(image));
        }

        await using (var image = await TestImage.OpenAsync(file))
        {
            var failure = await Assert.ThrowsAsync<BlockException>(async () => await ((ISnapshotStore)image.Node).ShowSnapshotAsync(SnapshotSelector.Of("1")));
            Assert.Equal(ErrorCode.Invalid, failure.Code);
        }

        static async Task<ErrorCode> CreateAsync(BlockEdge image) => (await Assert.ThrowsAsync<BlockException>(
            async () => await ((ISnapshotStore)image.Node).CreateSnapshotAsync(new SnapshotRequest { Name = "x" }))).Code;
    }

    [Fact]
    public async Task Bytes_of_other_entries_that_are_not_understood_stay()
    {
        var file = TestImage.Create(Mebi, "cluster_size=4k");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await ((ISnapshotStore)image.Node).CreateSnapshotAsync(new SnapshotRequest { Name = "abcdefgh" });
        }

        // The entry gets 8 bytes of extra data that nobody knows, and a name that is no UTF-8.
        var header = Qcow2Header.Parse(await BytesAsync(file), "x");
        var at = header.SnapshotsOffset;
        var entry = new byte[88];
        await file.ReadAsync(at, entry.AsMemory(0, 80));
        entry.AsSpan(64, 9).ToArray().CopyTo(entry, 72);
        entry[39] = 32;
        entry.AsSpan(64, 8).Fill(0xee);
        entry[75] = 0xff;
        await file.WriteAsync(at, entry, WriteFlags.None);
        await using (var image = await TestImage.OpenAsync(file))
        {
            var store = (ISnapshotStore)image.Node;
            await store.CreateSnapshotAsync(new SnapshotRequest { Name = "second" });
            await store.DeleteSnapshotAsync(new SnapshotSelector(null, "second"));
        }

        var after = new byte[88];
        await file.ReadAsync(Qcow2Header.Parse(await BytesAsync(file), "x").SnapshotsOffset, after);
        Assert.Equal(entry, after);
    }

    [Fact]
    public async Task Bitmaps_keep_a_snapshot_from_being_applied()
    {
        using var scratch = new TestImage.Scratch();
        var path = scratch.File("t.qcow2");
        TestImage.QemuImg($"create -q -f qcow2 {path} 1M");
        TestImage.QemuImg($"bitmap --add {path} b");
        var file = new MemoryNode(await File.ReadAllBytesAsync(path));
        await using var image = await TestImage.OpenAsync(file);
        var store = (ISnapshotStore)image.Node;
        await store.CreateSnapshotAsync(new SnapshotRequest { Name = "s" });
        var failure = await Assert.ThrowsAsync<BlockException>(async () => await store.ApplySnapshotAsync(SnapshotSelector.Of("s")));
        Assert.Equal(ErrorCode.Busy, failure.Code);
        await store.DeleteSnapshotAsync(SnapshotSelector.Of("s"));
        Assert.Single(await Qcow2Listing.BitmapsAsync(((Qcow2Node)image.Node).File, ((Qcow2Node)image.Node).Header));
    }

    private static async Task ChangeAsync(BlockEdge image, byte[] content, Random random)
    {
        var at = random.Next(content.Length / 512) * 512;
        var length = Math.Min(random.Next(1, 100) * 512, content.Length - at);
        switch (random.Next(6))
        {
            case 0:
                await image.WriteZeroesAsync(at, length, random.Next(2) == 0 ? WriteFlags.MayUnmap : WriteFlags.None);
                content.AsSpan(at, length).Clear();
                break;
            case 1:
                await image.DiscardAsync(at, length);
                await image.ReadAsync(at, content.AsMemory(at, length));
                break;
            case 2:
                var size = ((Qcow2Node)image.Node).Header.ClusterSize;
                at = at / size * size;
                length = Math.Min(size, content.Length - at);
                content.AsSpan(at, length).Fill((byte)random.Next(256));
                await image.WriteAsync(at, content.AsMemory(at, length), WriteFlags.Compressed);
                break;
            default:
                random.NextBytes(content.AsSpan(at, length));
                await image.WriteAsync(at, content.AsMemory(at, length));
                break;
        }
    }

    private static async Task<byte[]> BytesAsync(MemoryNode file)
    {
        var bytes = new byte[file.Length];
        await file.ReadAsync(0, bytes);
        return bytes;
    }
}
