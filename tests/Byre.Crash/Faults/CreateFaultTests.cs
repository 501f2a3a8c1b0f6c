using Byre.Filters;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash.Faults;

/// <summary>
/// The making of an image that is broken off, by a crash at any moment or by any request that fails, leaves either nothing
/// that can be opened or the whole image.
/// </summary>
public class CreateFaultTests
{
    private const int Size = 1 << 20;
    private const int Reorderings = 60;

    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    private static readonly Dictionary<string, Qcow2CreateOptions> Kinds = new()
    {
        ["plain"] = new() { Size = Size },
        ["version 2"] = new() { Size = Size, Version = 2, ClusterBits = 12 },
        ["small clusters"] = new() { Size = Size, ClusterBits = 9, RefcountBits = 64, Preallocation = Preallocation.Metadata },
        ["preallocated"] = new() { Size = Size, ClusterBits = 12, Preallocation = Preallocation.Full },
        ["subclusters"] = new() { Size = Size, ClusterBits = 14, ExtendedL2 = true, Preallocation = Preallocation.Metadata },
        ["long names"] = new() { Size = Size, ClusterBits = 16, BackingFile = new string('b', 900), BackingFormat = "raw" },
        ["encrypted"] = new() { Size = Size, ClusterBits = 12, Encryption = Qcow2Images.Encryption, Preallocation = Preallocation.Metadata },
        ["data file"] = new() { Size = Size, ClusterBits = 12, DataFileName = "data.raw", DataFileRaw = true },
    };

    public static TheoryData<string, bool> Cases
    {
        get
        {
            var cases = new TheoryData<string, bool>();
            foreach (var name in Kinds.Keys)
            {
                cases.Add(name, false);
                cases.Add(name, true);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task What_is_left_of_an_image_that_was_not_made_is_no_image(string name, bool isDevice)
    {
        var options = Kinds[name];
        var start = isDevice ? await OldImageAsync() : [];
        var log = new WriteLogNode(Edge(Below(start, isDevice)));
        await CreateAsync(log, options);
        var file = new CrashFile(start, log.Entries);
        foreach (var tick in log.Entries.Select(e => e.Began).Append(long.MaxValue))
        {
            await InspectAsync(file.Prefix(tick), options, isOld: isDevice && tick <= log.Entries[0].Began, $"tick {tick}");
        }

        var random = new Random(1);
        for (var i = 0; i < Reorderings; i++)
        {
            // On a device the old image is there until the first flush has ended.
            var from = isDevice ? log.Entries.First(e => e.Kind == WriteLogKind.Flush).Ended + 1 : 1;
            var tick = random.NextInt64(from, log.Clock.Now + 2);
            await InspectAsync(file.Reordered(tick, random), options, isOld: false, $"reordering {i} at tick {tick}");
        }

        await FailEachAsync(start, isDevice, options);
    }

    private static async Task FailEachAsync(byte[] start, bool isDevice, Qcow2CreateOptions options)
    {
        var hit = true;
        for (var n = 1; hit; n++)
        {
            foreach (var rule in new[] { new FaultRule { First = n, Errno = 28 }, new FaultRule { First = n, Action = FaultAction.CutShort, Bytes = 512 } })
            {
                var node = Below(start, isDevice);
                await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
                var fault = new FaultNode(Edge(node), new FaultOptions { Rules = [rule] });
                var failed = false;
                try
                {
                    await CreateAsync(fault, options);
                }
                catch (BlockException)
                {
                    failed = true;
                }

                hit = fault.Hits > 0;
                Assert.True(failed == hit, $"{rule}: {(failed ? "failed for no reason" : "nobody is told")}");
                var left = new byte[node.Length];
                await node.ReadAsync(0, left);
                await InspectAsync(left, options, isOld: isDevice && n <= 2, $"{rule}");
            }
        }
    }

    /// <summary>An image of other data, which must not come to light again.</summary>
    private static async Task<byte[]> OldImageAsync()
    {
        var node = new MemoryNode(0);
        await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
        await using (var edge = Edge(node))
        {
            await Qcow2Creator.CreateAsync(edge, null, new Qcow2CreateOptions { Size = Size, ClusterBits = 12 });
        }

        await using (var disk = await Qcow2Images.OpenAsync(node, null, null, new Qcow2OpenOptions()))
        {
            await disk.WriteAsync(0, SectorContent.Make(3, 0, Size / SectorContent.Size));
        }

        var bytes = new byte[3 << 20];
        await node.ReadAsync(0, bytes.AsMemory(0, (int)node.Length));
        return bytes;
    }

    private static BlockNode Below(byte[] start, bool isDevice) =>
        isDevice ? new DeviceNode(new MemoryNode(start)) : new MemoryNode(0);

    private static BlockEdge Edge(BlockNode node) => new(node, ChildRole.Filtered | ChildRole.Primary, Everything, "file");

    private static async Task CreateAsync(BlockNode node, Qcow2CreateOptions options)
    {
        await using var edge = Edge(node);
        await using var data = options.DataFileName is null ? null : Edge(new MemoryNode(0));
        await Qcow2Creator.CreateAsync(edge, data, options);
    }

    private static async Task InspectAsync(byte[] left, Qcow2CreateOptions options, bool isOld, string what)
    {
        Qcow2Header header;
        try
        {
            await using var edge = Edge(new MemoryNode(left));
            header = await Qcow2HeaderReader.ReadAsync(edge);
        }
        catch (BlockException)
        {
            return;
        }

        if (isOld)
        {
            return; // nothing has been done yet
        }

        Assert.True(
            (header.BackingFile, header.BackingFormat, header.DataFileName, header.Size, header.ClusterBits)
                == (options.BackingFile, options.BackingFormat, options.DataFileName, options.Size, options.ClusterBits),
            $"{what}: the header lacks a part");
        var report = await Qcow2Images.CheckAsync(new MemoryNode(left));
        Assert.True(Qcow2Images.Problem(report, leaksCount: true) is null, $"{what}: {Qcow2Images.Problem(report, leaksCount: true)}");
        var data = options.DataFileName is null ? null : new MemoryNode(Size);
        await using var disk = await Qcow2Images.OpenAsync(new MemoryNode(left), data, null, new Qcow2OpenOptions { ReadOnly = true });
        Assert.False((await Qcow2Images.ReadAllAsync(disk)).AsSpan().ContainsAnyExcept((byte)0), $"{what}: foreign data");
    }

    /// <summary>Keeps its length, as a block device does.</summary>
    private sealed class DeviceNode(BlockNode below) : FilterNode(Edge(below))
    {
        public override string DriverName => "device";

        public override bool GrowsOnWrite => false;

        public override ValueTask ResizeAsync(long length, Preallocation preallocation) => default;
    }
}
