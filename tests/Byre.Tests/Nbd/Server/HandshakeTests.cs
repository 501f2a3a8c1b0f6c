using System.Text;
using Byre.Bitmaps;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using static Byre.Tests.Nbd.Server.RawClient;

namespace Byre.Tests.Nbd.Server;

public class HandshakeTests
{
    [Theory]
    [InlineData(3u, false)]
    [InlineData(2u, false)]
    [InlineData(1u, true)]
    [InlineData(0u, true)]
    public async Task Plain_newstyle_ends_with_a_name(uint flags, bool hasZeroes)
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate(flags);
        client.Send(OptionBytes(NbdOption.ExportName, "disk"u8));
        var info = client.Read(hasZeroes ? 134 : 10);
        Assert.Equal((ulong)disk.Content.Length, ReadU64(info));
        Assert.All(info.Skip(10), b => Assert.Equal(0, b));
        Assert.Equal(disk.Content[..512], client.Request(NbdCommand.Read, 0, 512).Data);
    }

    [Theory]
    [InlineData(4u)]
    [InlineData(0x80000003u)]
    public async Task Unknown_flags_end_the_connection(uint flags)
    {
        await using var disk = new ServedDisk();
        disk.Negotiate(flags).ExpectEnd();
    }

    [Theory]
    [InlineData("other")]
    [InlineData("")]
    [InlineData("disk\0")]
    [InlineData("DISK")]
    public async Task A_name_that_is_not_there_ends_plain_newstyle(string name)
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        client.Send(OptionBytes(NbdOption.ExportName, Encoding.UTF8.GetBytes(name)));
        client.ExpectEnd();
    }

    /// <summary>There is no reply to EXPORT_NAME that says no, so that nothing else may come in its place.</summary>
    [Fact]
    public async Task A_name_that_is_too_long_ends_plain_newstyle()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        client.Send(OptionBytes(NbdOption.ExportName, new byte[100_000]));
        client.ExpectEnd();
    }

    [Fact]
    public async Task Without_fixed_newstyle_there_is_one_option()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate(2);
        client.Send(OptionBytes(NbdOption.List));
        client.ExpectEnd();
    }

    [Theory]
    [InlineData("")]
    [InlineData("some data")]
    public async Task Abort_is_acknowledged(string data)
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        Assert.Equal(NbdOptionReply.Ack, client.OptionOnce(NbdOption.Abort, Encoding.ASCII.GetBytes(data)));
        client.ExpectEnd();
    }

    [Fact]
    public async Task List_tells_names_and_descriptions()
    {
        await using var disk = new ServedDisk();
        disk.Server.Exports.Add(new NbdExport(new NbdExportOptions { Name = "", ReadOnly = true }, disk.Edge));
        var client = disk.Negotiate();
        var replies = client.Option(NbdOption.List);
        Assert.Equal([NbdOptionReply.Server, NbdOptionReply.Server, NbdOptionReply.Ack], replies.Select(r => r.Reply));
        Assert.Equal([.. Text("disk"), .. "a disk"u8], replies[0].Data);
        Assert.Equal(Text(""), replies[1].Data);
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.List, [1]));
    }

    [Fact]
    public async Task Info_tells_what_is_asked_for_and_what_a_client_needs()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        var replies = client.Option(NbdOption.Info, GoData("disk"));
        Assert.Equal([0, 3, 2], replies.SkipLast(1).Select(r => (int)r.Data[1]));
        Assert.Equal([0, 0, .. U64(1 << 20)], replies[0].Data[..10]);
        Assert.Equal([0, 3, .. U32(1), .. U32(4096), .. U32(32 << 20)], replies[1].Data);
        Assert.Equal([0, 2, .. "a disk"u8], replies[2].Data);
        replies = client.Option(NbdOption.Info, GoData("disk", 3, 1, 0, 77));
        Assert.Equal([0, 3, 1, 2], replies.SkipLast(1).Select(r => (int)r.Data[1]));
        Assert.Equal([0, 1, .. "disk"u8], replies[2].Data);
        Assert.Equal(NbdOptionReply.ErrorUnknown, client.OptionOnce(NbdOption.Info, GoData("disc")));
        Assert.Equal(NbdOptionReply.ErrorUnknown, client.OptionOnce(NbdOption.Go, GoData("")));
        client.Enter("disk", NbdHeaderStyle.Simple);
    }

    [Fact]
    public async Task The_initial_state_is_told_when_asked_for_and_known()
    {
        await using var disk = new ServedDisk(new Byre.Storage.MemoryNode(1 << 20), null);
        var client = disk.Negotiate();
        var asked = client.Option(NbdOption.Info, GoData("disk", 4));
        Assert.Equal([0, 4, 0, 3], asked.Single(r => r.Data is [0, 4, ..]).Data);
        Assert.DoesNotContain(client.Option(NbdOption.Info, GoData("disk")), r => r.Data is [0, 4, ..]);
        await disk.Edge.WriteAsync(0, new byte[] { 1 });
        asked = client.Option(NbdOption.Info, GoData("disk", 4));
        Assert.DoesNotContain(asked, r => r.Data is [0, 4, 0, 2 or 3]);
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Simple, false, "HasFlags, SendFlush, SendFua, SendTrim, SendWriteZeroes, CanMultiConn, SendCache, SendFastZero")]
    [InlineData(NbdHeaderStyle.Structured, true, "HasFlags, ReadOnly, SendFlush, SendFua, SendDontFragment, CanMultiConn, SendCache")]
    [InlineData(NbdHeaderStyle.Extended, true, "HasFlags, ReadOnly, SendFlush, SendFua, SendDontFragment, CanMultiConn, SendCache")]
    public async Task Flags_say_what_the_export_can(NbdHeaderStyle style, bool readOnly, string flags)
    {
        await using var disk = new ServedDisk(change: o => o with { ReadOnly = readOnly });
        Assert.Equal(flags, disk.Negotiate().Enter("disk", style).ToString());
    }

    [Fact]
    public async Task Flags_follow_the_options_of_the_export()
    {
        await using var disk = new ServedDisk(change: o => o with { AllowMultiConn = false, CanResize = true });
        var flags = disk.Negotiate().Enter("disk", NbdHeaderStyle.Extended, "base:allocation");
        Assert.False(flags.HasFlag(NbdTransmissionFlags.CanMultiConn));
        Assert.True(flags.HasFlag(NbdTransmissionFlags.SendResize));
        Assert.True(flags.HasFlag(NbdTransmissionFlags.BlockStatusPayload));
    }

    /// <summary>Who only asks has selected no contexts yet, and is told of the filter all the same; who goes on without any is not.</summary>
    [Theory]
    [InlineData(NbdOption.Info, true)]
    [InlineData(NbdOption.Go, false)]
    public async Task The_filter_of_contexts_is_told_to_who_only_asks(NbdOption option, bool isTold)
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        Assert.Equal(NbdOptionReply.Ack, client.OptionOnce(NbdOption.ExtendedHeaders));
        var info = client.Option(option, RawClient.GoData("disk")).First(reply => reply.Reply == NbdOptionReply.Info).Data;
        var flags = (NbdTransmissionFlags)((info[10] << 8) | info[11]);
        Assert.Equal(isTold, flags.HasFlag(NbdTransmissionFlags.BlockStatusPayload));
    }

    [Fact]
    public async Task Broken_data_of_options_about_exports_are_refused()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        byte[] good = GoData("disk");
        foreach (byte[] data in new byte[][]
        {
            [], [0], good[..^1], [.. good, 0], [.. U32(5), .. "disk"u8, 0, 0], [.. U32(0xffffffff), .. "disk"u8, 0, 0], GoData("disk", 1)[..^1],
            [.. U32(4), 0xff, 0xfe, 0x20, 0x20, 0, 0], [.. U32(4), .. "di\0k"u8, 0, 0],
        })
        {
            Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.Info, data));
            Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.Go, data));
        }

        Assert.Equal(NbdOptionReply.ErrorTooBig, client.OptionOnce(NbdOption.Go, GoData(new string('x', 4097))));
        client.Enter("disk", NbdHeaderStyle.Simple);
    }

    [Fact]
    public async Task Unknown_and_withdrawn_options_are_not_supported_and_data_are_skipped()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        Assert.Equal(NbdOptionReply.ErrorUnsupported, client.OptionOnce((NbdOption)4));
        Assert.Equal(NbdOptionReply.ErrorUnsupported, client.OptionOnce((NbdOption)0x7fffffff, new byte[60_000]));
        Assert.Equal(NbdOptionReply.ErrorTooBig, client.OptionOnce((NbdOption)99, new byte[1_000_000]));
        Assert.Equal(NbdOptionReply.ErrorTooBig, client.OptionOnce(NbdOption.Go, new byte[70_000]));
        client.Enter("disk", NbdHeaderStyle.Simple);
    }

    [Fact]
    public async Task Structured_replies_and_extended_headers_are_turned_on_once_each()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.StructuredReply, [0]));
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.ExtendedHeaders, [0]));
        Assert.Equal(NbdOptionReply.Ack, client.OptionOnce(NbdOption.StructuredReply));
        Assert.Equal(NbdOptionReply.Ack, client.OptionOnce(NbdOption.StructuredReply));
        Assert.Equal(NbdOptionReply.Ack, client.OptionOnce(NbdOption.ExtendedHeaders));
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.ExtendedHeaders));
        Assert.Equal(NbdOptionReply.ErrorExtendedHeadersRequired, client.OptionOnce(NbdOption.StructuredReply));
        Assert.Equal(NbdOptionReply.Ack, client.Option(NbdOption.Go, GoData("disk"))[^1].Reply);
        client.Style = NbdHeaderStyle.Extended;
        Assert.Equal(disk.Content[..100], client.Request(NbdCommand.Read, 0, 100).Data);
    }

    [Fact]
    public async Task What_is_switched_off_is_not_supported()
    {
        await using var disk = new ServedDisk(new NbdServerOptions { StructuredReplies = false, ExtendedHeaders = false });
        var client = disk.Negotiate();
        Assert.Equal(NbdOptionReply.ErrorUnsupported, client.OptionOnce(NbdOption.StructuredReply));
        Assert.Equal(NbdOptionReply.ErrorUnsupported, client.OptionOnce(NbdOption.ExtendedHeaders));
        Assert.Equal(NbdOptionReply.ErrorPolicy, client.OptionOnce(NbdOption.StartTls));
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.StartTls, [1]));
        client.Enter("disk", NbdHeaderStyle.Simple);
    }

    [Fact]
    public async Task With_extended_headers_there_is_no_export_name()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        client.OptionOnce(NbdOption.ExtendedHeaders);
        client.Send(OptionBytes(NbdOption.ExportName, "disk"u8));
        client.ExpectEnd();
    }

    [Fact]
    public async Task An_option_in_single_bytes_is_understood()
    {
        await using var disk = new ServedDisk();
        var client = disk.Connect();
        client.Read(18);
        foreach (var b in (byte[])[.. U32(3), .. OptionBytes(NbdOption.Go, GoData("disk"))])
        {
            client.Send([b]);
            Thread.Sleep(b == 'k' ? 300 : 0); // long enough for the connection to be parked in between
        }

        Assert.Equal(NbdOptionReply.Ack, client.OptionReplies(NbdOption.Go)[^1].Reply);
        Assert.Equal(disk.Content[..100], client.Request(NbdCommand.Read, 0, 100).Data);
    }

    [Fact]
    public async Task Contexts_are_listed_and_selected_by_query()
    {
        var bitmap = new DirtyBitmap("b0", 1 << 20, 65536);
        await using var disk = new ServedDisk(change: o => o with { AllocationDepth = true, Bitmaps = [bitmap] });
        var client = disk.Negotiate();
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.ListMetaContext, ContextData("disk")));
        Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.SetMetaContext, ContextData("disk", "base:allocation")));
        client.OptionOnce(NbdOption.StructuredReply);
        Assert.Equal(
            ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b0", "qemu:joint-allocation", "byre:joint"], List(client));
        Assert.Equal(["base:allocation"], List(client, "base:"));
        Assert.Equal(["base:allocation"], List(client, "base:allocation", "base:", "base:nothing", "other:", ""));
        Assert.Equal(["qemu:allocation-depth", "qemu:dirty-bitmap:b0", "qemu:joint-allocation"], List(client, "qemu:"));
        Assert.Equal(["qemu:dirty-bitmap:b0"], List(client, "qemu:dirty-bitmap:"));
        Assert.Equal(["byre:joint"], List(client, "byre:"));
        Assert.Empty(List(client, "nothing:at-all"));
        Assert.All( // a list selects nothing, so that there are no numbers
            client.Option(NbdOption.ListMetaContext, ContextData("disk")).SkipLast(1), reply => Assert.Equal(0u, ReadU32(reply.Data)));

        Assert.Empty(client.Select("disk"));
        Assert.Empty(client.Select("disk", "base:", "qemu:", "qemu:dirty-bitmap:", "byre:", "x-other:thing"));
        Assert.Equal(["base:allocation"], client.Select("disk", "base:allocation", "base:allocation"));
        Assert.Equal(["base:allocation", "qemu:dirty-bitmap:b0"], client.Select("disk", "qemu:dirty-bitmap:b0", "base:allocation"));
        Assert.Equal(2, client.Contexts.Values.Distinct().Count());
        Assert.Equal(NbdOptionReply.ErrorUnknown, client.OptionOnce(NbdOption.SetMetaContext, ContextData("other", "base:allocation")));

        static string[] List(RawClient client, params string[] queries) =>
        [
            .. client.Option(NbdOption.ListMetaContext, ContextData("disk", queries)).SkipLast(1)
                .Select(reply => Encoding.UTF8.GetString(reply.Data.AsSpan(4))),
        ];
    }

    [Fact]
    public async Task Broken_queries_are_refused()
    {
        await using var disk = new ServedDisk();
        var client = disk.Negotiate();
        client.OptionOnce(NbdOption.StructuredReply);
        byte[] good = ContextData("disk", "base:allocation");
        foreach (byte[] data in new byte[][]
        {
            [], good[..^1], [.. good, 0], [.. Text("disk"), .. U32(2), .. Text("base:allocation")], [.. Text("disk"), .. U32(0xffffffff)],
            [.. Text("disk"), .. U32(1), .. U32(100), .. "base:"u8], [.. Text("disk"), 0, 0],
        })
        {
            Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.SetMetaContext, data));
            Assert.Equal(NbdOptionReply.ErrorInvalid, client.OptionOnce(NbdOption.ListMetaContext, data));
        }

        Assert.Equal(NbdOptionReply.ErrorTooBig, client.OptionOnce(NbdOption.SetMetaContext, ContextData("disk", new string('q', 4097))));
        client.Enter("disk", NbdHeaderStyle.Structured);
    }

    /// <summary>Selected contexts hold for the last selection, its export, and only while nothing has been renegotiated.</summary>
    [Fact]
    public async Task A_selection_that_failed_or_was_of_another_export_selects_nothing()
    {
        await using var disk = new ServedDisk();
        disk.Server.Exports.Add(new NbdExport(new NbdExportOptions { Name = "other" }, disk.Edge));
        foreach (var (spoil, error) in new (Action<RawClient>, NbdError)[]
        {
            (_ => { }, NbdError.None),
            (c => c.OptionOnce(NbdOption.SetMetaContext, [1]), NbdError.Invalid),
            (c => c.OptionOnce(NbdOption.SetMetaContext, ContextData("nowhere", "base:allocation")), NbdError.Invalid),
            (c => c.Select("other", "base:allocation"), NbdError.Invalid),
            (c => c.Select("disk"), NbdError.Invalid),
            (c => c.OptionOnce(NbdOption.ListMetaContext, [1]), NbdError.None),
        })
        {
            var client = disk.Negotiate();
            client.OptionOnce(NbdOption.StructuredReply);
            client.Select("disk", "base:allocation");
            spoil(client);
            client.Enter("disk", NbdHeaderStyle.Structured);
            Assert.Equal(error, client.Request(NbdCommand.BlockStatus, 0, 65536).Error);
        }
    }
}
