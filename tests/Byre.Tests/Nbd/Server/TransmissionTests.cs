using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Requests;
using static Byre.Tests.Nbd.Server.RawClient;

namespace Byre.Tests.Nbd.Server;

/// <summary>Every request in every style.</summary>
public class TransmissionTests
{
    private const ulong Size = 1 << 20;

    public static TheoryData<NbdHeaderStyle> Styles => [NbdHeaderStyle.Simple, NbdHeaderStyle.Structured, NbdHeaderStyle.Extended];

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Reads_return_what_is_there(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(style);
        foreach (var (offset, length) in new[] { (0, 1), (1, 511), (4096, 4096), (100, 65536), (77, 65537), (0, 1 << 20), ((1 << 20) - 1, 1) })
        {
            var reply = client.Request(NbdCommand.Read, (ulong)offset, (ulong)length);
            Assert.Equal(NbdError.None, reply.Error);
            Assert.True(reply.IsWhole || style == NbdHeaderStyle.Simple);
            Assert.True(reply.Data.AsSpan().SequenceEqual(disk.Content.AsSpan(offset, length)), $"{offset}+{length}");
        }

        Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, Size, 0).Error);
    }

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Writes_arrive_whatever_their_length(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(style);
        var random = new Random(3);
        foreach (var (offset, length) in new[] { (0, 1), (5, 1000), (65000, 65536), (1000, 65537), (300, 700_000), (9, 262_144), (0, 0) })
        {
            var data = new byte[length];
            random.NextBytes(data);
            data.CopyTo(disk.Content, offset);
            Assert.Equal(NbdError.None, client.WriteData((ulong)offset, data, length % 2 == 0 ? NbdCommandFlags.Fua : 0).Error);
        }

        var all = new byte[Size];
        await disk.Edge.ReadAsync(0, all);
        Assert.True(all.AsSpan().SequenceEqual(disk.Content));
    }

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Requests_outside_of_the_export_fail_and_the_connection_goes_on(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(style);
        foreach (var (offset, length) in new[] { (Size, 1UL), (Size - 1, 2UL), (ulong.MaxValue, 1UL), (ulong.MaxValue - 5, 10UL), (1UL << 63, 512UL) })
        {
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, offset, length).Error);
            Assert.Equal(NbdError.NoSpace, client.WriteData(offset, new byte[length]).Error);
            Assert.Equal(NbdError.NoSpace, client.Request(NbdCommand.WriteZeroes, offset, length).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Trim, offset, length).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Cache, offset, length).Error);
        }

        Assert.Equal(disk.Content[..512], client.Request(NbdCommand.Read, 0, 512).Data);
    }

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task A_read_only_export_is_not_changed(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk(change: o => o with { ReadOnly = true, CanResize = true });
        var client = disk.Use(style);
        Assert.Equal(NbdError.NotPermitted, client.WriteData(0, new byte[100]).Error);
        Assert.Equal(NbdError.NotPermitted, client.WriteData(Size, new byte[100_000]).Error);
        Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.Trim, 0, 65536).Error);
        Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.WriteZeroes, 0, 65536).Error);
        Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.Resize, 512, 0).Error);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Flush, 0, 0).Error);
        Assert.Equal(disk.Content[..200], client.Request(NbdCommand.Read, 0, 200).Data);
    }

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Zeroes_are_written_and_space_is_given_back(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(style);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.WriteZeroes, 100, 1000).Error);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.WriteZeroes, 2000, 1000, NbdCommandFlags.NoHole | NbdCommandFlags.Fua).Error);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.WriteZeroes, 4000, 1000, NbdCommandFlags.FastZero).Error);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Trim, 131072, 65536, NbdCommandFlags.Fua).Error);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.WriteZeroes, 0, 0).Error);
        disk.Content.AsSpan(100, 1000).Clear();
        disk.Content.AsSpan(2000, 1000).Clear();
        disk.Content.AsSpan(4000, 1000).Clear();
        disk.Content.AsSpan(131072, 65536).Clear();
        Assert.True(client.Request(NbdCommand.Read, 0, Size).Data.AsSpan().SequenceEqual(disk.Content));
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Cache, 0, Size).Error);
    }

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Unknown_commands_and_flags_are_invalid_and_the_connection_goes_on(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk(change: o => o with { CanResize = true });
        var client = disk.Use(style);
        Assert.Equal(NbdError.Invalid, client.Request((NbdCommand)9, 0, 512).Error);
        Assert.Equal(NbdError.Invalid, client.Request((NbdCommand)0xffff, 0, 512).Error);
        const NbdCommandFlags Unknown = (NbdCommandFlags)0x8000;
        foreach (var (command, flags) in new[]
        {
            (NbdCommand.Read, Unknown), (NbdCommand.Flush, Unknown), (NbdCommand.Trim, Unknown), (NbdCommand.WriteZeroes, Unknown),
            (NbdCommand.Cache, Unknown), (NbdCommand.Resize, Unknown), (NbdCommand.Read, NbdCommandFlags.NoHole),
            (NbdCommand.Trim, NbdCommandFlags.NoHole), (NbdCommand.WriteZeroes, NbdCommandFlags.DontFragment),
            (NbdCommand.Read, NbdCommandFlags.RequestOne), (NbdCommand.Cache, NbdCommandFlags.FastZero),
        })
        {
            Assert.Equal(NbdError.Invalid, client.Request(command, 0, command is NbdCommand.Flush or NbdCommand.Resize ? 0UL : 512, flags).Error);
        }

        Assert.Equal(NbdError.Invalid, client.WriteData(0, new byte[100_000], Unknown).Error);
        Assert.Equal(NbdError.Invalid, client.WriteData(0, new byte[100], NbdCommandFlags.NoHole).Error);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Flush, 0, 512).Error);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Flush, 512, 0).Error);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, 512).Error);
        var fragment = client.Request(NbdCommand.Read, 0, 512, NbdCommandFlags.DontFragment);
        Assert.Equal(style == NbdHeaderStyle.Simple ? NbdError.Invalid : NbdError.None, fragment.Error);
        Assert.Equal(disk.Content[..200], client.Request(NbdCommand.Read, 0, 200, NbdCommandFlags.Fua).Data);
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Simple, NbdError.Invalid)]
    [InlineData(NbdHeaderStyle.Structured, NbdError.Overflow)]
    [InlineData(NbdHeaderStyle.Extended, NbdError.Overflow)]
    public async Task A_read_that_is_too_long_fails(NbdHeaderStyle style, NbdError error)
    {
        await using var disk = new ServedDisk(new NbdServerOptions { MaxPayload = 65536 });
        var client = disk.Use(style);
        Assert.Equal(error, client.Request(NbdCommand.Read, 0, 65537).Error);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Read, 0, 65536).Error);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.WriteZeroes, 0, Size).Error);
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Simple)]
    [InlineData(NbdHeaderStyle.Structured)]
    public async Task A_compact_write_that_is_too_long_is_read_and_refused(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk(new NbdServerOptions { MaxPayload = 65536 });
        var client = disk.Use(style);
        Assert.Equal(NbdError.Invalid, client.WriteData(0, new byte[500_000]).Error);
        Assert.Equal(disk.Content[..200], client.Request(NbdCommand.Read, 0, 200).Data);
    }

    [Fact]
    public async Task Long_holes_of_a_read_are_told_instead_of_sent()
    {
        await using var disk = new ServedDisk();
        await disk.Edge.DiscardAsync(131072, 131072);
        disk.Content.AsSpan(131072, 131072).Clear();
        var client = disk.Use(NbdHeaderStyle.Structured);
        var reply = client.Request(NbdCommand.Read, 65536, 262144);
        Assert.Equal(["65536+65536", "(131072+131072)", "262144+65536"], reply.Pieces);
        Assert.Equal(disk.Content[65536..(65536 + 262144)], reply.Data);
        reply = client.Request(NbdCommand.Read, 140000, 100000);
        Assert.Equal(["(140000+100000)"], reply.Pieces);
        reply = client.Request(NbdCommand.Read, 65536, 262144, NbdCommandFlags.DontFragment);
        Assert.Equal(["65536+262144"], reply.Pieces);
        Assert.Equal(disk.Content[65536..(65536 + 262144)], reply.Data);
    }

    [Fact]
    public async Task Block_status_answers_every_context_once()
    {
        await using var disk = new ServedDisk(change: o => o with { AllocationDepth = true });
        await disk.Edge.DiscardAsync(131072, 131072);
        foreach (var style in (NbdHeaderStyle[])[NbdHeaderStyle.Structured, NbdHeaderStyle.Extended])
        {
            var client = disk.Use(style, "base:allocation", "qemu:allocation-depth");
            var reply = client.Request(NbdCommand.BlockStatus, 0, Size);
            Assert.Equal([(131072UL, 0UL), (131072, 3), (786432, 0)], reply.Status[client.Contexts["base:allocation"]]);
            Assert.Equal([(Size, 1UL)], reply.Status[client.Contexts["qemu:allocation-depth"]]);
            reply = client.Request(NbdCommand.BlockStatus, 131072, 65536, NbdCommandFlags.RequestOne);
            Assert.Equal([(65536UL, 3UL)], reply.Status[client.Contexts["base:allocation"]]);
            Assert.Equal([(65536UL, 1UL)], reply.Status[client.Contexts["qemu:allocation-depth"]]);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, 0).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, Size + 1).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, Size, 1).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, 512, NbdCommandFlags.NoHole).Error);
        }
    }

    [Fact]
    public async Task A_payload_selects_contexts_of_block_status()
    {
        await using var disk = new ServedDisk(change: o => o with { AllocationDepth = true });
        var client = disk.Use(NbdHeaderStyle.Extended, "base:allocation", "qemu:allocation-depth");
        var depth = client.Contexts["qemu:allocation-depth"];
        var reply = Ask(U64(65536), U32(depth));
        Assert.Equal([depth], reply.Status.Keys);
        foreach (byte[] payload in new byte[][]
        {
            [], U64(65536), [.. U64(65536), .. U32(99)], [.. U64(65536), .. U32(depth), .. U32(depth)], [.. U64(65536), .. U32(depth), 0],
            [.. U64(0), .. U32(depth)], [.. U64(Size + 1), .. U32(depth)], [.. U64(ulong.MaxValue), .. U32(depth)], U32(1), new byte[100_000],
        })
        {
            Assert.Equal(NbdError.Invalid, Ask(payload).Error);
        }

        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, 0, 8, NbdCommandFlags.PayloadLength, U64(65536)).Error);
        Assert.Equal(2, client.Request(NbdCommand.BlockStatus, 0, 65536).Status.Count);

        RawReply Ask(params byte[][] parts) => client.Request(
            NbdCommand.BlockStatus, 0, (ulong)parts.Sum(part => part.Length), NbdCommandFlags.PayloadLength, [.. parts.SelectMany(part => part)]);
    }

    /// <summary>With extended headers a request may be as long as the disk; 16 TiB of zeroes are one extent.</summary>
    [Fact]
    public async Task Huge_ranges_are_one_request()
    {
        const ulong Huge = 16UL << 40;
        await using var disk = new ServedDisk(new MemoryNode((long)Huge), null);
        var client = disk.Use(NbdHeaderStyle.Extended, "base:allocation");
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Cache, 0, 1 << 20).Error);
        Assert.Equal(NbdError.Overflow, client.Request(NbdCommand.Read, 0, Huge).Error);
        Assert.Equal(NbdError.NoSpace, client.Request(NbdCommand.WriteZeroes, 1, Huge).Error);
    }

    [Fact]
    public async Task Resize_changes_the_length_for_everybody_where_it_is_allowed()
    {
        await using var disk = new ServedDisk(change: o => o with { CanResize = true });
        var client = disk.Use(NbdHeaderStyle.Simple);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Resize, 2 << 20, 0).Error);
        Assert.Equal(2 << 20, disk.Edge.Length);
        Assert.Equal(new byte[512], client.Request(NbdCommand.Read, (2 << 20) - 512, 512).Data);
        using (var other = disk.Use(NbdHeaderStyle.Simple))
        {
            Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.Resize, 512, 0).Error);
            Assert.Equal(NbdError.None, other.Request(NbdCommand.Read, (2 << 20) - 512, 512).Error);
        }

        Assert.True(SpinWait.SpinUntil(() => disk.Export.ConnectionCount == 1, 20_000));
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Resize, 512, 0, NbdCommandFlags.Fua).Error);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, 512, 512).Error);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Resize, 1UL << 63, 0).Error);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Resize, 0, 5).Error);
        Assert.Equal(512, disk.Export.Size);
    }

    [Fact]
    public async Task Resize_is_refused_where_it_was_not_offered()
    {
        await using var disk = new ServedDisk();
        Assert.Equal(NbdError.NotPermitted, disk.Use(NbdHeaderStyle.Simple).Request(NbdCommand.Resize, 512, 0).Error);
        Assert.Equal(1 << 20, disk.Edge.Length);
    }

    [Fact]
    public async Task A_part_of_an_image_is_an_export_of_its_own()
    {
        await using var disk = new ServedDisk(change: o => o with { Offset = 1000, Length = 5000 });
        var client = disk.Use(NbdHeaderStyle.Structured, "base:allocation");
        Assert.Equal(disk.Content[1000..6000], client.Request(NbdCommand.Read, 0, 5000).Data);
        Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, 0, 5001).Error);
        Assert.Equal(NbdError.None, client.WriteData(4999, [7]).Error);
        Assert.Equal(NbdError.NoSpace, client.WriteData(5000, [7]).Error);
        Assert.Equal([(5000UL, 0UL)], client.Request(NbdCommand.BlockStatus, 0, 5000).Status.Values.Single());
        var at = new byte[1];
        await disk.Edge.ReadAsync(5999, at);
        Assert.Equal(7, at[0]);
        Assert.Throws<BlockException>(() => new NbdExport(new NbdExportOptions { Name = "", Offset = 2, Length = 1 << 20 }, disk.Edge));
        Assert.Throws<BlockException>(() => new NbdExport(new NbdExportOptions { Name = "", Offset = (1 << 20) + 1 }, disk.Edge));
    }

    [Fact]
    public async Task Many_requests_in_one_message_are_all_answered()
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(NbdHeaderStyle.Simple);
        var all = new List<byte>();
        for (var i = 0; i < 1000; i++)
        {
            all.AddRange(i % 3 == 0
                ? client.RequestBytes(NbdCommand.Write, (ulong)i * 512, 512, 0, disk.Content.AsSpan(i * 512, 512), (ulong)i)
                : client.RequestBytes(NbdCommand.Read, (ulong)i * 512, 512, 0, default, (ulong)i));
        }

        var sending = Task.Run(() => client.Channel.Send(all.ToArray()));
        for (var i = 0; i < 1000; i++)
        {
            var reply = new RawReply((ulong)i, 0, i % 3 == 0 ? 0 : 512);
            Assert.True(client.ReadChunk(reply));
            Assert.True(reply.Error == NbdError.None && (i % 3 == 0 || reply.Data.AsSpan().SequenceEqual(disk.Content.AsSpan(i * 512, 512))));
        }

        await sending;
    }

    [Fact]
    public async Task Bad_magic_ends_the_connection()
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(NbdHeaderStyle.Simple);
        client.Style = NbdHeaderStyle.Extended;
        client.SendRequest(NbdCommand.Read, 0, 512);
        client.ExpectEnd();
        Assert.Contains(disk.Log, line => line.Contains("no request", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Disconnect_ends_the_connection_after_the_replies()
    {
        await using var disk = new ServedDisk();
        var client = disk.Use(NbdHeaderStyle.Simple);
        var cookie = client.SendRequest(NbdCommand.Read, 0, 512);
        client.SendRequest(NbdCommand.Disconnect, 0, 0);
        Assert.True(client.ReadChunk(new RawReply(cookie, 0, 512)));
        client.ExpectEnd();
    }

    /// <summary>A write that is not asked to be durable is made so all the same.</summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 4)]
    public async Task Write_through_flushes_after_every_change(bool writeThrough, int syncs)
    {
        var node = new ModelNode(new byte[Size], BlockLimits.Default);
        await using var disk = new ServedDisk(node, null, o => o with { WriteThrough = writeThrough });
        var client = disk.Use(NbdHeaderStyle.Simple);
        client.WriteData(0, [1]);
        client.Request(NbdCommand.WriteZeroes, 0, 100);
        client.Request(NbdCommand.Trim, 0, 65536);
        client.WriteData(0, new byte[100_000]);
        Assert.Equal(syncs, Syncs());
        client.WriteData(0, [1], NbdCommandFlags.Fua);
        Assert.Equal(syncs + 1, Syncs());

        int Syncs() => node.Log.Count(line => line == "sync");
    }
}
