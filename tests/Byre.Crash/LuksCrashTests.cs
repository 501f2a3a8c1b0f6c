using System.Text;
using Byre.Crypto;
using Byre.Filters;
using Byre.Formats.Luks;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>
/// A change of passphrases that is broken off, by a crash at any moment or by any request that fails, leaves every other
/// passphrase as it was; one that has ended is there for ever.
/// </summary>
public class LuksCrashTests
{
    private const int Size = 64 << 10;
    private const int Reorderings = 150;

    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    /// <summary>Changes, and the passphrases of which one always opens the volume, whenever it crashes.</summary>
    private static readonly Dictionary<string, (KeySlotChange[] Changes, string[] Before, string[] After)> Kinds = new()
    {
        ["add"] = ([Add("new", null)], ["abc"], ["abc", "new"]),
        ["add across two sectors"] = ([Add("new", 6), Add("other", 7)], ["abc"], ["abc", "new", "other"]),
        ["overwrite the only one"] = ([Add("new", 0)], ["abc"], ["new"]),
        ["add and erase the first"] = ([Add("new", null), Erase("abc", null)], ["abc"], ["new"]),
        ["erase one of two by number"] = ([Add("new", 5), Erase(null, 5)], ["abc"], ["abc"]),
    };

    public static TheoryData<string> Names => [.. Kinds.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Some_passphrase_opens_the_volume_after_every_crash(string name)
    {
        var (changes, before, after) = Kinds[name];
        var start = await MakeAsync();
        var log = new WriteLogNode(Edge(new MemoryNode(start)));
        await ChangeAsync(log, changes);
        var file = new CrashFile(start, log.Entries);
        var ended = log.Clock.Now + 1;
        foreach (var tick in log.Entries.Select(e => e.Began).Append(ended))
        {
            await InspectAsync(file.Prefix(tick), [.. before, .. after], $"tick {tick}");
        }

        var random = new Random(1);
        for (var i = 0; i < Reorderings; i++)
        {
            var tick = random.NextInt64(1, ended + 1);
            await InspectAsync(file.Reordered(tick, random), [.. before, .. after], $"reordering {i} at tick {tick}");
        }

        var last = file.Reordered(ended, random);
        foreach (var passphrase in new[] { "abc", "new", "other" })
        {
            Assert.True(await OpensAsync(last, passphrase) == after.Contains(passphrase), $"{passphrase} in the end");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Some_passphrase_opens_the_volume_after_every_failure(string name)
    {
        var (changes, before, after) = Kinds[name];
        var start = await MakeAsync();
        var hit = true;
        for (var n = 1; hit; n++)
        {
            foreach (var rule in new[] { new FaultRule { First = n, Errno = 5 }, new FaultRule { First = n, Action = FaultAction.CutShort, Bytes = 512 } })
            {
                var node = new MemoryNode(start);
                await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
                var fault = new FaultNode(Edge(node), new FaultOptions { Rules = [rule] });
                var failed = false;
                try
                {
                    await ChangeAsync(fault, changes);
                }
                catch (BlockException)
                {
                    failed = true;
                }

                hit = fault.Hits > 0;
                Assert.True(failed == hit, $"{rule}: {(failed ? "failed for no reason" : "nobody is told")}");
                var left = new byte[node.Length];
                await node.ReadAsync(0, left);
                await InspectAsync(left, failed ? [.. before, .. after] : after, $"{rule}");
            }
        }
    }

    /// <summary>The suite finds out where a slot is active before its material is there.</summary>
    [Fact]
    public async Task Flushes_that_are_dropped_are_found_out()
    {
        var start = await MakeAsync();
        var log = new WriteLogNode(Edge(new MemoryNode(start)));
        await ChangeAsync(new FlushDroppingNode(log), [Add("new", 0)]);
        var file = new CrashFile(start, log.Entries);
        var random = new Random(1);
        var lost = 0;
        for (var i = 0; i < Reorderings; i++)
        {
            var left = file.Reordered(random.NextInt64(1, log.Clock.Now + 2), random);
            lost += await OpensAsync(left, "abc") || await OpensAsync(left, "new") ? 0 : 1;
        }

        Assert.True(lost > 0);
    }

    private static KeySlotChange Add(string passphrase, long? slot) =>
        new() { Activate = true, NewPassphrase = Encoding.UTF8.GetBytes(passphrase), Slot = slot, IterationMilliseconds = 0 };

    private static KeySlotChange Erase(string? passphrase, long? slot) => new()
    {
        Activate = false, OldPassphrase = passphrase is null ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(passphrase), Slot = slot,
    };

    private static BlockEdge Edge(BlockNode node) => new(node, ChildRole.Filtered | ChildRole.Primary, Everything, "file");

    private static async Task<byte[]> MakeAsync()
    {
        var node = new MemoryNode(0);
        await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
        await using (var edge = Edge(node))
        {
            await LuksNode.CreateAsync(edge, Size, Preallocation.Off, Qcow2Images.Encryption);
        }

        await using (var disk = await OpenAsync(node, "abc"))
        {
            await disk.WriteAsync(0, SectorContent.Make(1, 0, Size / SectorContent.Size));
        }

        var bytes = new byte[node.Length];
        await node.ReadAsync(0, bytes);
        return bytes;
    }

    private static async Task ChangeAsync(BlockNode node, KeySlotChange[] changes)
    {
        await using var disk = await OpenAsync(node, "abc");
        foreach (var change in changes)
        {
            await ((LuksNode)disk.Node).ChangeKeySlotsAsync(change, force: true);
        }
    }

    private static async Task<BlockEdge> OpenAsync(BlockNode node, string passphrase)
    {
        var edge = Edge(node);
        try
        {
            using var secret = new SecretBytes(Encoding.UTF8.GetBytes(passphrase));
            return new BlockEdge(await LuksNode.OpenAsync(edge, secret, readOnly: false), ChildRole.None, Everything);
        }
        catch
        {
            await edge.DisposeAsync();
            throw;
        }
    }

    private static async Task InspectAsync(byte[] left, string[] passphrases, string what)
    {
        foreach (var passphrase in passphrases.Distinct())
        {
            if (await OpensAsync(left, passphrase))
            {
                return;
            }
        }

        Assert.Fail($"{what}: no passphrase opens the volume");
    }

    /// <summary>The passphrase opens the volume, and its data is there.</summary>
    private static async Task<bool> OpensAsync(byte[] left, string passphrase)
    {
        try
        {
            await using var disk = await OpenAsync(new MemoryNode((byte[])left.Clone()), passphrase);
            Assert.Equal(SectorContent.Make(1, 0, Size / SectorContent.Size), await Qcow2Images.ReadAllAsync(disk));
            return true;
        }
        catch (BlockException e) when (e.Code == ErrorCode.NotPermitted)
        {
            return false;
        }
    }
}
