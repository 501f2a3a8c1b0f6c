using System.Buffers.Binary;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Snapshot tables and snapshots' tables that make no sense: one clear line, and the file as it was.</summary>
public class SnapshotDamageTests
{
    private const int Mebi = 1 << 20;

    /// <summary>What is spoilt, and with what; and for taking, applying and deleting whether it works all the same.</summary>
    public static TheoryData<string, ulong, bool, bool, bool> Damages() => new()
    {
        { "nothing", 0, true, true, true },
        { "count", 2, true, true, true }, // an entry of zeroes is one of a snapshot of nothing
        { "count", 65_537, false, false, false },
        { "count", uint.MaxValue, false, false, false },
        { "place", 512, false, false, false },
        { "place", 1UL << 40, false, false, false },
        { "place", 1UL << 63, false, false, false },
        { "extra length", 1025, false, false, false },
        { "id length", 65_535, false, false, false },
        { "L1 offset", 70_000, true, false, false },
        { "L1 offset", 1UL << 40, true, false, false },
        { "L1 offset", 1UL << 63, true, false, false },
        { "L1 offset", 0, true, false, false },
        { "L1 entries", (32 << 17) + 1, true, false, false },
        { "L1 entries", uint.MaxValue, true, false, false },
        { "disk size", 1UL << 63, true, false, true },
        { "disk size", 1UL << 62, true, false, true },
        { "disk size", 1000, true, false, true },
        { "L1 entry", 512, true, false, false },
        { "L1 entry", 1UL << 40, true, false, false },
        { "L1 entry", 0x00ff_ffff_ffff_f000, true, false, false },
        { "L2 entry", 512, true, false, false },
        { "L2 entry", 1UL << 50, true, false, false },
        { "L2 entry", 0x7fff_ffff_ffff_ffff, true, false, false },
    };

    [Theory]
    [MemberData(nameof(Damages))]
    public async Task A_damaged_snapshot_is_refused_and_nothing_changes(string what, ulong value, bool creates, bool applies, bool deletes)
    {
        var start = await MakeAsync(what, value);
        await TryAsync(start, creates, async s => await s.CreateSnapshotAsync(new SnapshotRequest { Name = "new" }));
        await TryAsync(start, applies, async s => await s.ApplySnapshotAsync(SnapshotSelector.Of("1")));
        await TryAsync(start, deletes, async s => await s.DeleteSnapshotAsync(SnapshotSelector.Of("1")));
    }

    [Fact]
    public async Task An_image_whose_own_tables_are_damaged_takes_no_snapshot()
    {
        var start = await MakeAsync("active L2 entry", 1UL << 50);
        await TryAsync(start, false, async s => await s.CreateSnapshotAsync(new SnapshotRequest { Name = "new" }));
        await TryAsync(start, false, async s => await s.DeleteSnapshotAsync(SnapshotSelector.Of("1")));
    }

    [Theory]
    [InlineData("id length", 65_535)]
    [InlineData("place", 1UL << 40)]
    public async Task A_snapshot_table_that_is_cut_off_keeps_nobody_from_the_disk(string what, ulong value)
    {
        await using var image = await TestImage.OpenAsync(new MemoryNode(await MakeAsync(what, value)));
        var data = TestImage.Bytes(50_000, 3);
        await image.WriteAsync(500_000, data);
        await image.FlushAsync();
        var read = new byte[data.Length];
        await image.ReadAsync(500_000, read);
        Assert.Equal(data, read);
    }

    private static async Task TryAsync(byte[] start, bool works, Func<ISnapshotStore, Task> act)
    {
        var file = new MemoryNode((byte[])start.Clone());
        BlockException? failure = null;
        try
        {
            await using var image = await TestImage.OpenAsync(file);
            await act((ISnapshotStore)image.Node);
        }
        catch (BlockException e)
        {
            failure = e;
        }

        Assert.True(works == failure is null, failure?.ToString());
        if (failure is not null)
        {
            Assert.DoesNotContain('\n', failure.Message);
            var left = new byte[file.Length];
            await file.ReadAsync(0, left);
            Assert.Equal(start, left);
        }
    }

    /// <summary>An image with a snapshot of which something was written, and then other things.</summary>
    private static async Task<byte[]> MakeAsync(string what, ulong value)
    {
        var file = TestImage.Create(Mebi, "cluster_size=4k");
        await using (var image = await TestImage.OpenAsync(file))
        {
            await image.WriteAsync(0, TestImage.Bytes(50_000, 1));
            await ((ISnapshotStore)image.Node).CreateSnapshotAsync(new SnapshotRequest { Name = "s" });
            await image.WriteAsync(20_000, TestImage.Bytes(50_000, 2));
        }

        var bytes = new byte[file.Length];
        await file.ReadAsync(0, bytes);
        var header = Qcow2Header.Parse(bytes, "x");
        var entry = (int)header.SnapshotsOffset;
        var l1 = (int)Word(entry);
        var l2 = (int)(Word(l1) & L1Entry.OffsetMask);
        var active = (int)(Word((int)header.L1Offset) & L1Entry.OffsetMask);
        switch (what)
        {
            case "count":
                Put32(60);
                break;
            case "place":
                Put64(64);
                break;
            case "extra length":
                Put32(entry + 36);
                break;
            case "id length":
                BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(entry + 12), (ushort)value);
                break;
            case "L1 offset":
                Put64(entry);
                break;
            case "L1 entries":
                Put32(entry + 8);
                break;
            case "disk size":
                Put64(entry + 48);
                break;
            case "L1 entry":
                Put64(l1);
                break;
            case "L2 entry":
                Put64(l2);
                break;
            case "active L2 entry":
                Put64(active);
                break;
        }

        return bytes;

        ulong Word(int at) => BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at));

        void Put32(int at) => BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(at), (uint)value);

        void Put64(int at) => BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(at), value);
    }
}
