using System.Buffers.Binary;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>A guest cluster whose entry leads into metadata is not written where the checks know that kind of metadata.</summary>
public class OverlapTests
{
    private static readonly OverlapChecks[] Kinds =
    [
        OverlapChecks.MainHeader, OverlapChecks.ActiveL1, OverlapChecks.ActiveL2, OverlapChecks.RefcountTable, OverlapChecks.RefcountBlock,
        OverlapChecks.SnapshotTable, OverlapChecks.InactiveL1, OverlapChecks.InactiveL2, OverlapChecks.BitmapDirectory,
    ];

    [Fact]
    public async Task Each_kind_is_known_where_it_is_asked_for_and_only_there()
    {
        var (bytes, places) = await MakeAsync();
        foreach (var kind in Kinds)
        {
            foreach (var (place, where) in places.Where(p => p.Kind == kind).Select(p => (p.Offset, p.Kind)))
            {
                foreach (var checks in new[] { OverlapChecks.None, kind, OverlapChecks.All & ~kind, OverlapChecks.Constant, OverlapChecks.Cached, OverlapChecks.All })
                {
                    Assert.True((checks & kind) != 0 == await IsRefusedAsync(bytes, place, checks), $"{where} at {place:x} with {checks}");
                }
            }
        }
    }

    /// <summary>An image with everything in it, and where everything is.</summary>
    private static async Task<(byte[] Bytes, List<(OverlapChecks Kind, long Offset)> Places)> MakeAsync()
    {
        using var scratch = new TestImage.Scratch();
        var path = scratch.File("o.qcow2");
        var file = TestImage.Create(1 << 20, "cluster_size=4k");
        var image = await TestImage.OpenAsync(file);
        await image.WriteAsync(0, new byte[100_000]);
        await image.DisposeAsync();
        await TestImage.SaveAsync(file, path);
        TestImage.QemuImg($"snapshot -c one {path}");
        image = await TestImage.OpenAsync(file = new MemoryNode(File.ReadAllBytes(path)));
        await image.WriteAsync(0, new byte[100_000]); // the snapshot's L2 table is its own from now on
        await image.DisposeAsync();
        await TestImage.SaveAsync(file, path);
        TestImage.QemuImg($"bitmap --add {path} one");
        var bytes = File.ReadAllBytes(path);
        await using var edge = new BlockEdge(new MemoryNode((byte[])bytes.Clone()), ChildRole.None, TestImage.All);
        var header = await Qcow2HeaderReader.ReadAsync(edge);
        var snapshotL1 = U64(bytes, header.SnapshotsOffset);
        var extension = BitmapsExtension.Read(header.FindExtension(HeaderExtensionTypes.Bitmaps)!.Data.Span)!.Value;
        var directory = (long)extension.DirectoryOffset;
        return (bytes,
        [
            (OverlapChecks.MainHeader, 0),
            (OverlapChecks.ActiveL1, header.L1Offset),
            (OverlapChecks.ActiveL2, new L1Entry((ulong)U64(bytes, header.L1Offset)).Table.Value),
            (OverlapChecks.RefcountTable, header.RefcountTableOffset),
            (OverlapChecks.RefcountBlock, U64(bytes, header.RefcountTableOffset)),
            (OverlapChecks.SnapshotTable, header.SnapshotsOffset),
            (OverlapChecks.InactiveL1, snapshotL1),
            (OverlapChecks.InactiveL2, new L1Entry((ulong)U64(bytes, snapshotL1)).Table.Value),
            (OverlapChecks.BitmapDirectory, directory),
            (OverlapChecks.BitmapDirectory, BitmapEntry.Read(bytes.AsSpan((int)directory)).TableOffset),
        ]);
    }

    /// <summary>Lets the guest's second cluster lead to a place, and writes to it.</summary>
    private static async Task<bool> IsRefusedAsync(byte[] image, long place, OverlapChecks checks)
    {
        var bytes = (byte[])image.Clone();
        var table = new L1Entry((ulong)U64(bytes, U64(bytes, 40))).Table.Value;
        BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan((int)table + 8), (ulong)place | L2Entry.CopiedBit);
        if (place == 0)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan((int)table + 8), 0);
        }

        var edge = await TestImage.OpenAsync(new MemoryNode(bytes), new Qcow2OpenOptions { OverlapChecks = checks });
        if (place == 0)
        {
            // An entry cannot lead to the header; what can is a refcount of 0.
            await edge.DisposeAsync();
            return ((Qcow2Node)edge.Node).Guarded.Find(HostOffset.Zero, 1) != OverlapChecks.None;
        }

        try
        {
            await edge.WriteAsync(4096, new byte[512]);
            return false;
        }
        catch (BlockException e) when (e.Code == ErrorCode.Corrupt)
        {
            return true;
        }
        finally
        {
            try
            {
                await edge.DisposeAsync();
            }
            catch (BlockException)
            {
                // Overwritten metadata makes no sense any more: that is what the checks are for.
            }
        }
    }

    private static long U64(byte[] bytes, long at) => BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan((int)at));
}
