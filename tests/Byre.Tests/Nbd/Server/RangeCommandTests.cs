using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Tests.Requests;

namespace Byre.Tests.Nbd.Server;

/// <summary>What the commands without data become on the image: their flags, their pieces, and what makes them durable.</summary>
public class RangeCommandTests
{
    private const long Size = 1 << 20;

    [Theory]
    [InlineData(NbdCommandFlags.None, "MayUnmap")]
    [InlineData(NbdCommandFlags.NoHole, "None")]
    [InlineData(NbdCommandFlags.FastZero, "MayUnmap, NoFallback")]
    [InlineData(NbdCommandFlags.FastZero | NbdCommandFlags.NoHole, "NoFallback")]
    public async Task Zeroes_may_become_holes_and_be_slow_only_where_the_client_agrees(NbdCommandFlags flags, string expected)
    {
        var node = new RecordingNode(Size);
        await using var disk = new ServedDisk(node, null);
        Assert.Equal(NbdError.None, disk.Use(NbdHeaderStyle.Simple).Request(NbdCommand.WriteZeroes, 4096, 65536, flags).Error);
        Assert.Equal([$"zero 4096+65536 {expected}"], node.TakeLog());
    }

    [Theory]
    [InlineData(NbdCommand.Trim, 65536UL)]
    [InlineData(NbdCommand.WriteZeroes, 65536UL)]
    [InlineData(NbdCommand.Trim, 1UL << 40)]
    [InlineData(NbdCommand.WriteZeroes, 1UL << 40)]
    public async Task A_durable_change_is_synced_once_behind_its_last_piece_and_another_is_not(NbdCommand command, ulong length)
    {
        var node = new RecordingNode(1L << 40);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Extended);
        Assert.Equal(NbdError.None, client.Request(command, 0, length).Error);
        var plain = node.TakeLog();
        Assert.DoesNotContain("sync", plain);
        Assert.Equal(NbdError.None, client.Request(command, 0, length, NbdCommandFlags.Fua).Error);
        var durable = node.TakeLog();
        Assert.Equal("sync", durable[^1]);
        Assert.Single(durable, "sync");
        Assert.Equal(length, Covered(plain));
        Assert.Equal(length, Covered(durable.SkipLast(1)));
    }

    /// <summary>A long range is done in pieces, each of which has to be as fast as the client wants the whole.</summary>
    [Fact]
    public async Task Long_fast_zeroes_are_fast_in_every_piece_or_fail()
    {
        var node = new RecordingNode(1L << 40);
        await using var disk = new ServedDisk(node, null);
        var client = disk.Use(NbdHeaderStyle.Extended);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.WriteZeroes, 0, 1UL << 40, NbdCommandFlags.FastZero | NbdCommandFlags.NoHole).Error);
        Assert.All(node.TakeLog(), line => Assert.EndsWith(" NoFallback", line, StringComparison.Ordinal));
        node.IsFast = false;
        Assert.Equal(NbdError.NotSupported, client.Request(NbdCommand.WriteZeroes, 0, 1UL << 40, NbdCommandFlags.FastZero).Error);
        Assert.Empty(node.TakeLog());
    }

    [Fact]
    public async Task Cache_reads_the_range()
    {
        var node = new RecordingNode(Size);
        await using var disk = new ServedDisk(node, null, o => o with { Offset = 512 });
        Assert.Equal(NbdError.None, disk.Use(NbdHeaderStyle.Simple).Request(NbdCommand.Cache, 4096, 65536).Error);
        Assert.Equal(["read 4608+65536"], node.TakeLog());
    }

    [Fact]
    public async Task A_resize_is_durable_where_that_is_asked_for()
    {
        var node = new RecordingNode(Size);
        await using var disk = new ServedDisk(node, null, o => o with { CanResize = true });
        var client = disk.Use(NbdHeaderStyle.Simple);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Resize, Size, 0).Error);
        Assert.DoesNotContain("sync", node.TakeLog());
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Resize, Size, 0, NbdCommandFlags.Fua).Error);
        Assert.Equal("sync", node.TakeLog()[^1]);
    }

    /// <summary>An image that could not be made shorter keeps all that clients see of it.</summary>
    [Fact]
    public async Task A_resize_that_fails_changes_nothing()
    {
        var node = new RecordingNode(Size) { ResizeFailure = new BlockException(ErrorCode.Io, "broken") };
        await using var disk = new ServedDisk(node, null, o => o with { CanResize = true });
        var client = disk.Use(NbdHeaderStyle.Simple);
        Assert.Equal(NbdError.Io, client.Request(NbdCommand.Resize, 512, 0).Error);
        Assert.Equal(NbdError.Io, client.Request(NbdCommand.Resize, 2 * Size, 0).Error);
        Assert.Equal(Size, disk.Export.Size);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, Size - 512, 512).Error);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, Size, 512).Error);
    }

    /// <summary>Neither a part of an image nor one that the server may not resize offers it, and a request for it is refused.</summary>
    [Theory]
    [InlineData(512L, null, true)]
    [InlineData(0L, 512L, true)]
    [InlineData(0L, null, false)]
    public async Task What_cannot_be_resized_does_not_offer_it(long offset, long? length, bool mayResize)
    {
        var permissions = mayResize ? EdgeTests.Everything : new PermissionSet(Permissions.All & ~Permissions.Resize, Permissions.All);
        var node = new RecordingNode(Size);
        await using var disk = new ServedDisk(node, null, o => o with { CanResize = true, Offset = offset, Length = length }, permissions: permissions);
        var client = disk.Negotiate();
        Assert.False(client.Enter("disk", NbdHeaderStyle.Simple).HasFlag(NbdTransmissionFlags.SendResize));
        Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.Resize, 2 * Size, 0).Error);
        Assert.Empty(node.TakeLog());
    }

    /// <summary>What the server itself may not write to is shown as what it is.</summary>
    [Fact]
    public async Task Without_the_permission_to_write_an_export_is_read_only()
    {
        var node = new RecordingNode(Size);
        var permissions = new PermissionSet(Permissions.ConsistentRead, Permissions.All);
        await using var disk = new ServedDisk(node, null, permissions: permissions);
        var client = disk.Negotiate();
        Assert.True(client.Enter("disk", NbdHeaderStyle.Simple).HasFlag(NbdTransmissionFlags.ReadOnly));
        Assert.Equal(NbdError.NotPermitted, client.WriteData(0, [1]).Error);
        Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.WriteZeroes, 0, 512).Error);
        Assert.Empty(node.TakeLog());
    }

    /// <summary>A client sees the part and no more; a range that runs over the end of all numbers does not come back in front of it.</summary>
    [Theory]
    [InlineData(NbdCommand.Read)]
    [InlineData(NbdCommand.Write)]
    [InlineData(NbdCommand.Trim)]
    [InlineData(NbdCommand.WriteZeroes)]
    [InlineData(NbdCommand.Cache)]
    [InlineData(NbdCommand.BlockStatus)]
    public async Task What_lies_around_a_part_is_out_of_reach(NbdCommand command)
    {
        var node = new RecordingNode(Size);
        await using var disk = new ServedDisk(node, null, o => o with { Offset = 65536, Length = 65536 });
        var client = disk.Use(NbdHeaderStyle.Extended, "base:allocation");
        foreach (var (offset, length) in new[] { (ulong.MaxValue - 511, 512UL), (ulong.MaxValue - 1023, 512UL), (ulong.MaxValue - 511, 1024UL), (ulong.MaxValue, 1UL), (65536UL, 512UL), (65000UL, 537UL) })
        {
            var reply = command == NbdCommand.Write ? client.WriteData(offset, new byte[length]) : client.Request(command, offset, length);
            Assert.Equal(command is NbdCommand.Write or NbdCommand.WriteZeroes ? NbdError.NoSpace : NbdError.Invalid, reply.Error);
        }

        Assert.Empty(node.TakeLog());
    }

    private static ulong Covered(IEnumerable<string> log) =>
        log.Aggregate(0UL, (sum, line) => sum + ulong.Parse(line.Split(' ')[1].Split('+')[1], System.Globalization.CultureInfo.InvariantCulture));
}
