using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

public sealed class HandshakeTests
{
    [Fact]
    public async Task An_oldstyle_server_has_one_export_without_a_name()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Send(new FakeBytes().U64(NbdMagic.Initial).U64(NbdMagic.OldStyle).U64(1 << 20).U16(0).U16((int)FakePeer.DefaultFlags).Fill(0, 124));
            peer.Serve(new byte[1 << 20]);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        Assert.True(client.IsOldStyle);
        Assert.Equal(1 << 20, client.Size);
        Assert.Equal(FakePeer.DefaultFlags & ~NbdTransmissionFlags.SendDontFragment, client.Flags);
        await client.ReadAsync(0, new byte[512]);
        var named = await Assert.ThrowsAsync<BlockException>(() => NbdClient.ConnectAsync(server.Options with { ExportName = "x" }));
        Assert.Equal(ErrorCode.NotFound, named.Code);
    }

    [Theory]
    [InlineData(NbdHandshakeFlags.None, 0u)]
    [InlineData(NbdHandshakeFlags.NoZeroes, 2u)]
    public async Task A_plain_newstyle_server_is_only_asked_for_the_export(NbdHandshakeFlags flags, uint answer)
    {
        using var server = new FakeServer(peer =>
        {
            var client = peer.Greet(flags);
            var (option, data) = peer.ReadOption();
            if (client == answer && option == NbdOption.ExportName && data.SequenceEqual("disk"u8.ToArray()))
            {
                peer.Send(new FakeBytes().U64(1 << 20).U16((int)FakePeer.DefaultFlags).Fill(0, flags == 0 ? 124 : 0));
                peer.Serve(new byte[1 << 20]);
            }
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { ExportName = "disk" });
        Assert.Equal(NbdHandshakeStyle.NewStyle, client.HandshakeStyle);
        await client.ReadAsync(0, new byte[512]);
    }

    [Theory]
    [InlineData(NbdHandshakeFlags.FixedNewStyle, 1u)]
    [InlineData(NbdHandshakeFlags.FixedNewStyle | NbdHandshakeFlags.NoZeroes, 3u)]
    [InlineData((NbdHandshakeFlags)0xfffe, 2u)]
    public async Task Of_the_flags_of_a_greeting_those_that_are_known_are_agreed_on(NbdHandshakeFlags flags, uint answer)
    {
        var answered = new TaskCompletionSource<uint>();
        using var server = new FakeServer(peer => answered.SetResult(peer.Greet(flags)));
        var connecting = NbdClient.ConnectAsync(server.Options);
        Assert.Equal(answer, await answered.Task.WaitAsync(TimeSpan.FromSeconds(30)));
        server.Dispose();
        await Assert.ThrowsAsync<BlockException>(() => connecting);
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task Only_the_forms_of_replies_that_are_wanted_are_asked_for(bool extended, bool structured)
    {
        var options = new List<NbdOption>();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple, before: (option, _) =>
            {
                options.Add(option);
                return false;
            });
            peer.Serve(new byte[512]);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { RequestExtended = extended, RequestStructured = structured });
        List<NbdOption> expected = [NbdOption.Go];
        expected.InsertRange(0, structured ? [NbdOption.StructuredReply] : []);
        expected.InsertRange(0, extended ? [NbdOption.ExtendedHeaders] : []);
        Assert.Equal(expected, options);
    }

    [Fact]
    public async Task Questions_in_option_mode_are_about_the_export_that_they_name()
    {
        var asked = new List<byte[]>();
        using var server = new FakeServer(peer => peer.Handshake(before: (option, data) =>
        {
            switch (option)
            {
                case NbdOption.ListMetaContext:
                    asked.Add(data);
                    peer.Reply(option, NbdOptionReply.Ack);
                    return true;
                case NbdOption.Info:
                    asked.Add(data);
                    return false;
                default:
                    return false;
            }
        }));
        await using var client = await NbdClient.ConnectAsync(server.Options with { OptionMode = true, ExportName = "own" });
        await client.ListMetaContextsAsync(["a:", "b:c"], "other");
        await client.ListMetaContextsAsync([]);
        await client.InfoAsync("other");
        await client.InfoAsync();
        Assert.Equal(new FakeBytes().U32(5).Text("other").U32(2).U32(2).Text("a:").U32(3).Text("b:c").Done, asked[0]);
        Assert.Equal(new FakeBytes().U32(3).Text("own").U32(0).Done, asked[1]);
        Assert.Equal(new FakeBytes().U32(5).Text("other").Done, asked[2][..9]);
        Assert.Equal(new FakeBytes().U32(3).Text("own").Done, asked[3][..7]);
    }

    [Fact]
    public async Task Contexts_are_in_the_order_asked_for_whatever_the_order_of_the_server()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(contexts: [new(3, "c:c"), new(1, "a:a"), new(2, "base:allocation")]);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { MetaContexts = ["a:a", "x:missing", "base:allocation", "c:c"] });
        Assert.Equal([new(1, "a:a"), new(2, "base:allocation"), new(3, "c:c")], client.Contexts);
    }

    [Fact]
    public async Task As_much_as_may_be_told_of_an_export_is_taken()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(until: NbdOption.Go);
            peer.Reply(NbdOption.Go, NbdOptionReply.Info, new FakeBytes().U16(999).Fill(1, NbdLimits.MaxOptionData - 2).Done);
            peer.SendFacts(NbdOption.Go, block: new NbdBlockSize(512, NbdLimits.MaxBlockSize, uint.MaxValue));
            peer.Reply(NbdOption.Go, NbdOptionReply.Ack);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        Assert.Equal(NbdLimits.DefaultMaxPayload, client.MaxPayload);
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Extended, NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.ReadOnly, NbdTransmissionFlags.None)]
    [InlineData(NbdHeaderStyle.Structured, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.BlockStatusPayload, NbdTransmissionFlags.HasFlags)]
    [InlineData(
        NbdHeaderStyle.Extended,
        NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.BlockStatusPayload,
        NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.BlockStatusPayload)]
    [InlineData(NbdHeaderStyle.Structured, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFastZero, NbdTransmissionFlags.HasFlags)]
    public async Task Flags_that_mean_nothing_without_others_are_left_out(NbdHeaderStyle style, NbdTransmissionFlags flags, NbdTransmissionFlags left)
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(style, flags: flags);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        Assert.Equal(left, client.Flags);
    }

    [Fact]
    public async Task A_server_that_breaks_the_protocol_in_option_mode_is_left_without_a_word()
    {
        var next = new TaskCompletionSource<bool>();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(until: NbdOption.List);
            peer.Reply(NbdOption.List, NbdOptionReply.Server, [0, 0]);
            try
            {
                peer.ReadOption();
                next.SetResult(true);
            }
            catch (EndOfStreamException)
            {
                next.SetResult(false);
            }
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { OptionMode = true });
        Assert.Equal(ErrorCode.Corrupt, (await Assert.ThrowsAsync<BlockException>(() => client.ListExportsAsync())).Code);
        Assert.False(await next.Task.WaitAsync(TimeSpan.FromSeconds(30)), "it was sent another option");
    }

    [Fact]
    public async Task Without_GO_the_export_is_chosen_by_its_name_alone()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Simple, until: NbdOption.Go);
            peer.Reply(NbdOption.Go, NbdOptionReply.ErrorUnsupported);
            peer.ReadOption();
            peer.Send(new FakeBytes().U64(1 << 20).U16((int)FakePeer.DefaultFlags));
            peer.Serve(new byte[1 << 20]);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options);
        await client.ReadAsync(0, new byte[512]);
    }

    [Fact]
    public async Task Everything_the_server_tells_of_the_export_is_there()
    {
        byte[]? asked = null;
        using var server = new FakeServer(peer =>
        {
            asked = peer.Handshake(NbdHeaderStyle.Extended, until: NbdOption.Go);
            peer.Reply(NbdOption.Go, NbdOptionReply.Info, new FakeBytes().U16(1).Text("canon").Done);
            peer.Reply(NbdOption.Go, NbdOptionReply.Info, new FakeBytes().U16(2).Text("Überblick").Done);
            peer.Reply(NbdOption.Go, NbdOptionReply.Info, new FakeBytes().U16(999).Fill(1, 100).Done);
            peer.SendFacts(NbdOption.Go, block: new NbdBlockSize(512, 4096, 1 << 20), initial: NbdInitialState.Sparse | NbdInitialState.Zero);
            peer.Reply(NbdOption.Go, NbdOptionReply.Ack);
            peer.WaitForEnd();
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { ExportName = "ex" });
        Assert.Equal(("canon", "Überblick"), (client.CanonicalName, client.Description));
        Assert.Equal(new NbdBlockSize(512, 4096, 1 << 20), client.BlockSize);
        Assert.Equal(NbdInitialState.Sparse | NbdInitialState.Zero, client.InitialState);
        Assert.Equal(FakePeer.DefaultFlags, client.Flags);
        Assert.Equal(new FakeBytes().U32(2).Text("ex").U16(4).U16(3).U16(1).U16(2).U16(4).Done, asked);
    }

    [Fact]
    public async Task Option_mode_lists_exports_and_contexts_and_then_goes_on()
    {
        var disk = new byte[1 << 20];
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(until: NbdOption.List);
            peer.Reply(NbdOption.List, NbdOptionReply.Server, new FakeBytes().U32(1).Text("a").Done);
            peer.Reply(NbdOption.List, NbdOptionReply.Server, new FakeBytes().U32(0).Text("the default").Done);
            peer.Reply(NbdOption.List, NbdOptionReply.Ack);
            peer.ReadOption();
            peer.Reply(NbdOption.ListMetaContext, NbdOptionReply.MetaContext, new FakeBytes().U32(0).Text("base:allocation").Done);
            peer.Reply(NbdOption.ListMetaContext, NbdOptionReply.MetaContext, new FakeBytes().U32(0).Text("x:y").Done);
            peer.Reply(NbdOption.ListMetaContext, NbdOptionReply.Ack);
            peer.ReadOption();
            peer.SendFacts(NbdOption.Info, size: 123);
            peer.Reply(NbdOption.Info, NbdOptionReply.Ack);
            peer.ReadOption();
            peer.Reply(NbdOption.Info, NbdOptionReply.ErrorUnknown, "no such thing"u8.ToArray());
            peer.ReadOption();
            peer.SendFacts(NbdOption.Go);
            peer.Reply(NbdOption.Go, NbdOptionReply.Ack);
            peer.Serve(disk);
        });
        await using var client = await NbdClient.ConnectAsync(server.Options with { OptionMode = true });
        Assert.Equal([new("a", null), new("", "the default")], await client.ListExportsAsync());
        Assert.Equal(["base:allocation", "x:y"], (await client.ListMetaContextsAsync([])).Select(context => context.Name));
        Assert.Equal(123, (await client.InfoAsync("a")).Size);
        var unknown = await Assert.ThrowsAsync<BlockException>(() => client.InfoAsync("b"));
        Assert.Equal(ErrorCode.NotFound, unknown.Code);
        Assert.Contains("no such thing", unknown.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_failed_option_leaves_option_mode_and_a_failed_GO_closes()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(until: NbdOption.List);
            peer.Reply(NbdOption.List, NbdOptionReply.ErrorPolicy, "not for you"u8.ToArray());
            peer.ReadOption();
            peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.ErrorUnsupported);
            peer.ReadOption();
            peer.Reply(NbdOption.Go, NbdOptionReply.ErrorTlsRequired);
            peer.WaitForEnd();
        });
        var client = await NbdClient.ConnectAsync(server.Options with { OptionMode = true });
        Assert.Equal(ErrorCode.NotPermitted, (await Assert.ThrowsAsync<BlockException>(() => client.ListExportsAsync())).Code);
        var tls = await Assert.ThrowsAsync<BlockException>(() => client.GoAsync());
        Assert.Equal(ErrorCode.AccessDenied, tls.Code);
        await client.DisposeAsync();
    }

    [Fact]
    public async Task Nobody_there_is_one_clear_line()
    {
        var path = Path.Combine(Path.GetTempPath(), "byre-nobody-" + Guid.NewGuid().ToString("N"));
        var e = await Assert.ThrowsAsync<BlockException>(() => NbdClient.ConnectAsync(new NbdClientOptions { Address = Byre.Nbd.NbdAddress.Unix(path) }));
        Assert.Equal($"Failed to connect to '{path}': No such file or directory", e.Message);
        Assert.Equal(ErrorCode.Disconnected, e.Code);
    }

    [Fact]
    public async Task Giving_up_ends_a_handshake_that_waits()
    {
        using var server = new FakeServer(peer => peer.WaitForEnd());
        using var stop = new CancellationTokenSource(50);
        var options = server.Options with { ConnectTimeout = TimeSpan.FromMinutes(2) };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => NbdClient.ConnectAsync(options, stop.Token).WaitAsync(TimeSpan.FromMinutes(1)));
    }

    [Fact]
    public async Task A_server_that_does_not_read_the_options_is_not_waited_for()
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(until: NbdOption.StructuredReply);
            peer.Reply(NbdOption.StructuredReply, NbdOptionReply.Ack);
            Thread.Sleep(TimeSpan.FromMinutes(1));
        });
        var names = Enumerable.Range(0, 64).Select(i => $"x:{i:0000}{new string('y', 4000)}").ToArray(); // more than a socket takes
        var e = await Assert.ThrowsAsync<BlockException>(() => NbdClient.ConnectAsync(
            server.Options with { MetaContexts = names, ConnectTimeout = TimeSpan.FromSeconds(0.5) }).WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(ErrorCode.Disconnected, e.Code);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_client_that_is_closed_asks_nothing_and_can_be_closed_again(bool optionMode)
    {
        using var server = new FakeServer(peer =>
        {
            peer.Handshake();
            peer.WaitForEnd();
        });
        var client = await NbdClient.ConnectAsync(server.Options with { OptionMode = optionMode });
        await client.DisposeAsync();
        foreach (var option in (Func<Task>[])[() => client.ListExportsAsync(), () => client.GoAsync()])
        {
            Assert.Equal(typeof(NbdClient).FullName, (await Assert.ThrowsAsync<ObjectDisposedException>(option)).ObjectName);
        }

        Assert.True(client.DisposeAsync().AsTask().IsCompletedSuccessfully, "closing it again did something");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_client_says_goodbye(bool blocking)
    {
        var last = new TaskCompletionSource<NbdCommand>();
        using var server = new FakeServer(peer =>
        {
            peer.Handshake(NbdHeaderStyle.Extended);
            peer.Serve(new byte[1 << 20], most: 1);
            last.SetResult(peer.ReadRequest().Header.Command);
            peer.WaitForEnd();
        });
        var node = await NbdNode.OpenAsync(new NbdNodeOptions { Client = server.Options, Blocking = blocking });
        await node.ReadAsync(0, new byte[512]);
        await node.DisposeAsync();
        Assert.Equal(NbdCommand.Disconnect, await last.Task.WaitAsync(TimeSpan.FromSeconds(30)));
    }
}
