using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>Attacks before the transmission: connecting must fail.</summary>
internal static class HandshakeAttacks
{
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(300);

    public static Dictionary<string, Attack> All { get; } = new(StringComparer.Ordinal)
    {
        ["greets as another service"] = Broken(peer => peer.Send(new FakeBytes().Text("SSH-2.0-OpenSSH_9.2\r\n")), "greeting"),
        ["greets with a style nobody knows"] = Broken(peer => peer.Send(new FakeBytes().U64(NbdMagic.Initial).U64(0x1234)), "neither oldstyle nor newstyle"),
        ["greets with a wrong first number"] = Broken(peer => peer.Send(new FakeBytes().U64(0x1234).U64(NbdMagic.Option).U16(3)), "none of an NBD server"),
        ["leaves before the greeting"] = Gone(_ => { }, "closed the connection"),
        ["leaves in the greeting"] = Gone(peer => peer.Send(new FakeBytes().U32(0x4e42444d)), "closed the connection"),
        ["says nothing"] = Gone(peer => peer.WaitForEnd(), "in time") with { Options = options => options with { ConnectTimeout = Soon } },
        ["greets one byte at a time, for ever"] = Gone(Drip, "in time") with { Options = options => options with { ConnectTimeout = Soon } },
        ["stops after the greeting"] = Gone(
            peer =>
            {
                peer.Greet();
                peer.WaitForEnd();
            },
            "in time") with { Options = options => options with { ConnectTimeout = Soon } },
        ["replies with a wrong number"] = At(NbdOption.StructuredReply, peer => peer.Send(new FakeBytes().Fill(0x55, 100)), "wrong number"),
        ["replies to an option that was not sent"] = At(NbdOption.StructuredReply, peer => peer.Reply(NbdOption.Go, NbdOptionReply.Ack), "it replies to option 7"),
        ["replies with four gigabytes"] = At(NbdOption.StructuredReply, peer => Head(peer, NbdOption.StructuredReply, NbdOptionReply.ErrorUnsupported, uint.MaxValue), "4294967295 bytes"),
        ["replies with a byte too many"] = At(NbdOption.Go, peer => Head(peer, NbdOption.Go, NbdOptionReply.Info, NbdLimits.MaxOptionData + 1), "65537 bytes"),
        ["acknowledges with data"] = At(NbdOption.StructuredReply, peer => peer.Reply(NbdOption.StructuredReply, NbdOptionReply.Ack, [1]), "carries data"),
        ["replies in a way nobody knows"] = At(NbdOption.StructuredReply, peer => peer.Reply(NbdOption.StructuredReply, (NbdOptionReply)77), "type 77"),
        ["tells of exports when asked for one"] = At(NbdOption.Go, peer => peer.Reply(NbdOption.Go, NbdOptionReply.Server, new FakeBytes().U32(0).Done), "type 2"),
        ["tells of an export without end"] = At(NbdOption.Go, peer => Endless(peer, NbdOption.Go, NbdOptionReply.Info, new FakeBytes().U16(999).Fill(1, 60_000).Done), "more than 64"),
        ["tells nothing of the export"] = At(NbdOption.Go, peer => peer.Reply(NbdOption.Go, NbdOptionReply.Ack), "neither length nor flags"),
        ["sends information without a type"] = At(NbdOption.Go, peer => peer.Reply(NbdOption.Go, NbdOptionReply.Info, [0]), "no type"),
        ["sends a short export"] = Info(new FakeBytes().U16(0).Fill(1, 9), "9 bytes instead of 10"),
        ["sends a long export"] = Info(new FakeBytes().U16(0).Fill(0, 11), "11 bytes instead of 10"),
        ["sends an export of 2^63 bytes"] = Info(new FakeBytes().U16(0).U64(1UL << 63).U16(1), "more than 2^63", ErrorCode.TooLarge),
        ["sends a minimum block of 3"] = Info(new FakeBytes().U16(3).U32(3).U32(4096).U32(65536), "minimum 3"),
        ["sends a minimum block of 0"] = Info(new FakeBytes().U16(3).U32(0).U32(4096).U32(65536), "minimum 0"),
        ["sends a minimum block of 128 KiB"] = Info(new FakeBytes().U16(3).U32(1 << 17).U32(1 << 17).U32(1 << 20), "minimum 131072"),
        ["sends a preferred block that is smaller"] = Info(new FakeBytes().U16(3).U32(4096).U32(512).U32(65536), "preferred 512"),
        ["sends a preferred block of 5000"] = Info(new FakeBytes().U16(3).U32(1).U32(5000).U32(65536), "preferred 5000"),
        ["sends a preferred block of 256"] = Info(new FakeBytes().U16(3).U32(1).U32(256).U32(65536), "preferred 256"),
        ["sends a preferred block of 64 MiB"] = Info(new FakeBytes().U16(3).U32(1).U32(64 << 20).U32(65536), "preferred 67108864"),
        ["sends a maximum that is no multiple"] = Info(new FakeBytes().U16(3).U32(512).U32(4096).U32(65537), "maximum 65537"),
        ["sends a maximum of nothing"] = Info(new FakeBytes().U16(3).U32(512).U32(4096).U32(0), "maximum 0"),
        ["sends a name that is no text"] = Info(new FakeBytes().U16(1).Fill(0xff, 4), "not UTF-8"),
        ["sends a name with a NUL"] = Info(new FakeBytes().U16(1).Fill(0, 4), "NUL"),
        ["sends a description of 5000 bytes"] = Info(new FakeBytes().U16(2).Fill((byte)'x', 5000), "5000 bytes"),
        ["sends an initial state of 3 bytes"] = Info(new FakeBytes().U16(4).Fill(0, 3), "3 bytes instead of 2"),
        ["refuses with a page of control characters"] = At(
            NbdOption.Go, peer => peer.Reply(NbdOption.Go, NbdOptionReply.ErrorPolicy, new FakeBytes().Fill((byte)'\n', 60_000).Done), "???", ErrorCode.NotPermitted),
        ["selects a context that was not asked for"] = Contexts(["qemu:other"], "was not asked for"),
        ["selects two contexts by one number"] = At(
            NbdOption.SetMetaContext,
            peer =>
            {
                peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.MetaContext, new FakeBytes().U32(7).Text("base:allocation").Done);
                peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.MetaContext, new FakeBytes().U32(7).Text("x:other").Done);
                peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.Ack);
            },
            "or its number twice") with { Options = options => options with { MetaContexts = ["base:allocation", "x:other"] } },
        ["selects a context twice"] = Contexts(["base:allocation", "base:allocation"], "twice"),
        ["selects a context without a name"] = Contexts([""], "has no name"),
        ["selects contexts without end"] = At(
            NbdOption.SetMetaContext,
            peer => Endless(peer, NbdOption.SetMetaContext, NbdOptionReply.MetaContext, new FakeBytes().U32(1).Fill((byte)'x', 4000).Done),
            "more than 4096"),
        ["wants TLS when asked for structured replies"] = At(
            NbdOption.StructuredReply, peer => peer.Reply(NbdOption.StructuredReply, NbdOptionReply.ErrorTlsRequired), "requires TLS", ErrorCode.AccessDenied),
        ["is shutting down when asked for structured replies"] = At(
            NbdOption.StructuredReply, peer => peer.Reply(NbdOption.StructuredReply, NbdOptionReply.ErrorShutdown), "is shutting down", ErrorCode.Disconnected),
        ["wants TLS when asked for contexts"] = At(
            NbdOption.SetMetaContext, peer => peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.ErrorTlsRequired), "requires TLS", ErrorCode.AccessDenied),
        ["has no such export when asked for contexts"] = At(
            NbdOption.SetMetaContext, peer => peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.ErrorUnknown), "no such export", ErrorCode.NotFound),
        ["has extended headers and no GO"] = new Attack(
            peer =>
            {
                peer.Handshake(NbdHeaderStyle.Extended, until: NbdOption.Go);
                peer.Reply(NbdOption.Go, NbdOptionReply.ErrorUnsupported);
                peer.WaitForEnd();
            },
            _ => Task.CompletedTask, ErrorCode.NotSupported, "does not know this"),
        ["closes when asked for the export by its name alone"] = new Attack(
            peer =>
            {
                peer.Handshake(NbdHeaderStyle.Simple, until: NbdOption.Go);
                peer.Reply(NbdOption.Go, NbdOptionReply.ErrorUnsupported);
                peer.ReadOption();
                peer.Dispose();
            },
            _ => Task.CompletedTask, ErrorCode.NotFound, "may have none of that name"),
        ["closes when asked for the export"] = new Attack(
            peer =>
            {
                peer.Handshake(until: NbdOption.Go);
                peer.Dispose();
            },
            _ => Task.CompletedTask, ErrorCode.Disconnected, "closed the connection"),
        ["is oldstyle and sends half of it"] = Gone(
            peer => peer.Send(new FakeBytes().U64(NbdMagic.Initial).U64(NbdMagic.OldStyle).U64(1 << 20).Fill(0, 60)), "closed the connection"),
    };

    /// <summary>Of the lists that option mode asks for.</summary>
    public static Dictionary<string, Attack> Lists { get; } = new(StringComparer.Ordinal)
    {
        ["lists a name longer than the reply"] = List(peer => peer.Reply(NbdOption.List, NbdOptionReply.Server, new FakeBytes().U32(50).Text("x").Done), "longer than the reply"),
        ["lists a name a little longer than the reply"] = List(
            peer => peer.Reply(NbdOption.List, NbdOptionReply.Server, new FakeBytes().U32(2).Text("x").Done), "longer than the reply"),
        ["lists a reply without a length"] = List(peer => peer.Reply(NbdOption.List, NbdOptionReply.Server, [0, 0]), "longer than the reply"),
        ["lists a name of 5000 bytes"] = List(peer => peer.Reply(NbdOption.List, NbdOptionReply.Server, new FakeBytes().U32(5000).Fill((byte)'x', 5000).Done), "5000 bytes"),
        ["lists exports without end"] = List(peer => Endless(peer, NbdOption.List, NbdOptionReply.Server, new FakeBytes().U32(1).Text("x").Done), "more than 65536"),
        ["lists long exports without end"] = List(
            peer => Endless(peer, NbdOption.List, NbdOptionReply.Server, new FakeBytes().U32(4096).Fill((byte)'x', 8192).Done), "more than 33554432 bytes"),
        ["lists contexts where exports were asked for"] = List(peer => peer.Reply(NbdOption.List, NbdOptionReply.MetaContext, new FakeBytes().U32(0).Text("a:b").Done), "type 4"),
    };

    private static Attack Broken(Action<FakePeer> serve, string says) => new(
        peer =>
        {
            serve(peer);
            peer.WaitForEnd();
        },
        _ => Task.CompletedTask,
        ErrorCode.Corrupt,
        says);

    private static Attack Gone(Action<FakePeer> serve, string says) => new(
        peer =>
        {
            serve(peer);
            peer.Dispose();
        },
        _ => Task.CompletedTask,
        ErrorCode.Disconnected,
        says);

    private static Attack At(NbdOption option, Action<FakePeer> serve, string says, ErrorCode code = ErrorCode.Corrupt) => new(
        peer =>
        {
            peer.Handshake(until: option);
            serve(peer);
            peer.WaitForEnd();
        },
        _ => Task.CompletedTask,
        code,
        says);

    private static Attack Info(FakeBytes info, string says, ErrorCode code = ErrorCode.Corrupt) => At(
        NbdOption.Go,
        peer =>
        {
            peer.Reply(NbdOption.Go, NbdOptionReply.Info, info.Done);
            peer.SendFacts(NbdOption.Go);
            peer.Reply(NbdOption.Go, NbdOptionReply.Ack);
        },
        says,
        code);

    private static Attack Contexts(string[] names, string says) => At(
        NbdOption.SetMetaContext,
        peer =>
        {
            for (var i = 0; i < names.Length; i++)
            {
                peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.MetaContext, new FakeBytes().U32((uint)i).Text(names[i]).Done);
            }

            peer.Reply(NbdOption.SetMetaContext, NbdOptionReply.Ack);
        },
        says);

    private static Attack List(Action<FakePeer> serve, string says) => new(
        peer =>
        {
            peer.Handshake(until: NbdOption.List);
            serve(peer);
            peer.WaitForEnd();
        },
        client => client.ListExportsAsync(),
        ErrorCode.Corrupt,
        says)
    {
        Options = options => options with { OptionMode = true },
    };

    private static void Drip(FakePeer peer)
    {
        var greeting = new FakeBytes().U64(NbdMagic.Initial).U64(NbdMagic.Option).U16(3).Fill(0, 100_000).Done;
        for (var i = 0; i < greeting.Length; i++)
        {
            peer.Send(greeting[i..(i + 1)]);
            Thread.Sleep(40);
        }
    }

    private static void Head(FakePeer peer, NbdOption option, NbdOptionReply reply, uint length)
    {
        var head = new byte[NbdOptionReplyHeader.Size];
        new NbdOptionReplyHeader(option, reply, length).Write(head);
        peer.Send(head);
    }

    private static void Endless(FakePeer peer, NbdOption option, NbdOptionReply reply, byte[] data)
    {
        while (true)
        {
            peer.Reply(option, reply, data);
        }
    }
}
