using Byre.Filters;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Crash;

/// <summary>A header is replaced as a whole: whatever an interruption leaves is the old one or the new one.</summary>
public class HeaderRewriteCrashTests
{
    private const uint Unknown = 0x12345678;

    [Theory]
    [InlineData(16)]
    [InlineData(13)]
    [InlineData(12)]
    public async Task An_interrupted_change_leaves_the_old_header_or_the_new_one(int clusterBits)
    {
        var random = new Random(clusterBits);
        for (var round = 0; round < 6; round++)
        {
            var header = Next(Start(clusterBits), random);
            var memory = new MemoryNode(1 << clusterBits);
            var start = header.ToBytes();
            var log = new WriteLogNode(new BlockEdge(memory, ChildRole.Primary, TestAll));
            var file = new BlockEdge(log, ChildRole.Primary, TestAll);
            await file.WriteAsync(0, start);
            await file.FlushAsync();
            header = Qcow2Header.Parse(start, "t");
            var store = await HeaderStore.OpenAsync(file, header, writable: true);
            for (var change = 0; change < 3; change++)
            {
                var before = Describe(store.Header);
                var seen = log.Entries.Count;
                await store.RewriteAsync(h => Next(h, random));
                var after = Describe(store.Header);
                var content = new byte[memory.Length];
                await file.ReadAsync(0, content);
                Assert.Equal(after, Describe(Qcow2Header.Parse(content, "t")));
                Verify(new CrashFile(new byte[memory.Length], log.Entries), seen, before, after, random);
            }

            await file.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_failed_change_is_settled_to_the_header_that_is_known()
    {
        var random = new Random(5);
        for (var failing = 0; failing < 5; failing++)
        {
            var memory = new MemoryNode(1 << 16);
            var faults = new FaultNode(
                new BlockEdge(memory, ChildRole.Primary, TestAll),
                new FaultOptions { Rules = [new FaultRule { Kinds = FaultKinds.Write, First = failing + 2 }] });
            var file = new BlockEdge(faults, ChildRole.Primary, TestAll);
            await file.WriteAsync(0, Next(Start(16), random).ToBytes());
            var store = await HeaderStore.OpenAsync(file, await ReadAsync(file), writable: true);
            var before = Describe(store.Header);
            var next = Next(store.Header, random) with { BackingFile = new string('n', 700) };
            try
            {
                await store.RewriteAsync(_ => next);
                Assert.Equal(Describe(next), Describe(store.Header));
            }
            catch (BlockException)
            {
                Assert.Equal(before, Describe(store.Header));
            }

            await store.SettleAsync();
            Assert.Equal(Describe(store.Header), Describe(await ReadAsync(file)));
            await file.DisposeAsync();
        }
    }

    private static PermissionSet TestAll => new(Permissions.All, Permissions.All);

    private static void Verify(CrashFile file, int from, string before, string after, Random random)
    {
        for (var tick = file.Entries[from].Began; tick <= file.Entries[^1].Ended + 1; tick++)
        {
            for (var sample = 0; sample < 8; sample++)
            {
                var content = sample == 0 ? file.Prefix(tick) : file.Reordered(tick, random);
                var found = Describe(Qcow2Header.Parse(content, "t"));
                Assert.True(found == before || found == after, $"At {tick} neither\n{before} nor\n{after} but\n{found}");
                Assert.True(tick <= file.Entries[^1].Ended || found == after, "the change is not durable");
            }
        }
    }

    private static async Task<Qcow2Header> ReadAsync(BlockEdge file)
    {
        var content = new byte[file.Length];
        await file.ReadAsync(0, content);
        return Qcow2Header.Parse(content, "t");
    }

    private static Qcow2Header Start(int clusterBits) => new()
    {
        Version = 3, ClusterBits = clusterBits, Size = 1 << 20, L1Entries = 1024, L1Offset = 8 << clusterBits,
        RefcountTableOffset = 4 << clusterBits, RefcountTableClusters = 1,
    };

    private static Qcow2Header Next(Qcow2Header header, Random random)
    {
        var next = header with { Size = random.Next(1, 2048) * 512L };
        if (random.Next(2) == 0)
        {
            next = next with
            {
                BackingFile = random.Next(4) == 0 ? null : new string((char)('a' + random.Next(26)), random.Next(1, 1023)),
                BackingFormat = random.Next(3) == 0 ? null : new string('f', random.Next(1, 16)),
            };
        }

        if (random.Next(2) == 0)
        {
            next = next.WithExtension(HeaderExtensionTypes.Bitmaps, random.Next(3) == 0 ? null : Bytes(24, random));
        }

        if (random.Next(3) == 0)
        {
            next = next.WithExtension(Unknown, random.Next(3) == 0 ? null : Bytes(random.Next(100), random));
        }

        if (random.Next(3) == 0)
        {
            next = next with { Version = random.Next(2, 4), Autoclear = random.Next(2) == 0 ? AutoclearFeatures.AllZero : 0 };
            next = next.Version == 2 ? next with { Autoclear = 0 } : next;
        }

        return next;
    }

    private static byte[] Bytes(int length, Random random)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    private static string Describe(Qcow2Header h) => string.Join(
        ' ',
        h.Version, h.Size, h.BackingFile, h.BackingFormat, h.Autoclear, h.L1Offset,
        Hex(h, HeaderExtensionTypes.Bitmaps), Hex(h, Unknown));

    private static string Hex(Qcow2Header h, uint type) =>
        h.FindExtension(type) is { } found ? Convert.ToHexString(found.Data.Span) : "none";
}
