using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Tests.Nbd.Client;

/// <summary>Attacks with replies. The client's request is always at 4096, with 8192 bytes, unless the attack says otherwise.</summary>
internal static class TransmissionAttacks
{
    private const NbdHeaderStyle Structured = NbdHeaderStyle.Structured;
    private const NbdHeaderStyle Extended = NbdHeaderStyle.Extended;
    private const int At = 4096;
    private const int Length = 8192;

    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(400);

    public static Dictionary<string, Attack> All { get; } = new(StringComparer.Ordinal)
    {
        ["replies with a wrong number"] = Read(Structured, (peer, _) => peer.Send(new FakeBytes().Fill(0x77, 64)), "wrong number"),
        ["sends simple replies where extended ones were agreed on"] = Read(Extended, (peer, r) => peer.Simple(r, data: new byte[Length]), "simple reply"),
        ["answers a flush with a simple reply where extended ones were agreed on"] = new Attack(
            Serve(Extended, (peer, r) => peer.Simple(r)), client => client.FlushAsync().AsTask(), ErrorCode.Corrupt, "simple reply, which was not agreed on"),
        ["sends structured replies where extended ones were agreed on"] = Read(
            Extended,
            (peer, r) =>
            {
                peer.Style = Structured;
                peer.Data(r, At, new byte[Length]);
            },
            "structured reply"),
        ["sends structured replies where simple ones were agreed on"] = Read(
            NbdHeaderStyle.Simple,
            (peer, r) =>
            {
                peer.Style = Structured;
                peer.Data(r, At, new byte[Length]);
            },
            "structured reply"),
        ["answers a read with a simple reply"] = Read(Structured, (peer, r) => peer.Simple(r, data: new byte[Length]), "simple reply, where structured"),
        ["answers a request that was not sent"] = Read(Structured, (peer, r) => peer.Done(r with { Cookie = r.Cookie + 256 }), "was not sent"),
        ["answers with the cookie of no slot"] = Read(Extended, (peer, r) => peer.Done(r with { Cookie = ulong.MaxValue }), "was not sent"),
        ["answers before it is asked"] = new Attack(
            peer =>
            {
                peer.Handshake(Structured);
                peer.Simple(default(NbdRequestHeader) with { Cookie = 256 + 127 });
                peer.WaitForEnd();
            },
            client => ReadAsync(client),
            ErrorCode.Corrupt,
            "was not sent"),
        ["answers twice"] = new Attack(
            peer =>
            {
                peer.Handshake(Structured);
                var (request, _) = peer.ReadRequest();
                peer.Data(request, At, new byte[Length]);
                peer.Data(request, At, new byte[Length]);
                peer.WaitForEnd();
            },
            async client =>
            {
                await ReadAsync(client);
                await ReadAsync(client);
            },
            ErrorCode.Corrupt,
            "or has its reply"),
        ["bears another offset"] = Read(Extended, (peer, r) => peer.Data(r with { Offset = 0 }, At, new byte[Length]), "bears the offset 0"),
        ["sends data from before the range"] = Read(Structured, (peer, r) => peer.Data(r, At - 1, new byte[Length]), "for a read of"),
        ["sends data beyond the range"] = Read(Structured, (peer, r) => peer.Data(r, At + 1, new byte[Length]), "for a read of"),
        ["sends data from far away"] = Read(Structured, (peer, r) => peer.Data(r, ulong.MaxValue - 100, new byte[Length]), "for a read of"),
        ["sends more data than asked for"] = Read(Structured, (peer, r) => peer.Data(r, At, new byte[Length + 1]), "for a read of"),
        ["sends a chunk of four gigabytes"] = Read(Structured, (peer, r) => Head(peer, r, NbdReplyType.OffsetData, uint.MaxValue), "4294967295 bytes"),
        ["sends a chunk of 2^63 bytes"] = Read(Extended, (peer, r) => Head(peer, r, NbdReplyType.OffsetData, 1UL << 63), "9223372036854775808 bytes"),
        ["sends a chunk of data without data"] = Read(Structured, (peer, r) => peer.Data(r, At, []), "no data"),
        ["sends data twice"] = Read(
            Structured,
            (peer, r) =>
            {
                peer.Data(r, At, new byte[100], done: false);
                peer.Data(r, At + 99, new byte[Length - 99]);
            },
            "twice"),
        ["sends a hole over data"] = Read(
            Extended,
            (peer, r) =>
            {
                peer.Data(r, At + 4000, new byte[100], done: false);
                peer.Hole(r, At, Length);
            },
            "twice"),
        ["ends a read without all of it"] = Read(Structured, (peer, r) => peer.Data(r, At, new byte[Length - 1]), "without all of the data"),
        ["ends a read with nothing"] = Read(Extended, (peer, r) => peer.Done(r), "without all of the data"),
        ["ends a read with a gap"] = Read(
            Structured,
            (peer, r) =>
            {
                peer.Data(r, At, new byte[100], done: false);
                peer.Hole(r, At + 101, Length - 101);
            },
            "without all of the data"),
        ["sends a hole of no length"] = Read(Structured, (peer, r) => peer.Hole(r, At, 0), "no length"),
        ["sends a hole that is too long"] = Read(Structured, (peer, r) => peer.Hole(r, At, uint.MaxValue), "for a read of"),
        ["sends a hole of another form"] = Read(Structured, (peer, r) => peer.Chunk(r, NbdReplyType.OffsetHole, new byte[16]), "16 bytes"),
        ["sends crumbs with gaps"] = new Attack(
            peer =>
            {
                peer.Handshake(Structured);
                var (request, _) = peer.ReadRequest();
                for (var at = 1UL; ; at += 2)
                {
                    peer.Data(request, at, new byte[1], done: false);
                }
            },
            client => client.ReadAsync(0, new byte[1 << 20]).AsTask(),
            ErrorCode.Corrupt,
            "too many pieces"),
        ["fragments what must not be"] = new Attack(
            Serve(Structured, (peer, r) =>
            {
                peer.Data(r, At, new byte[100], done: false);
                peer.Data(r, At + 100, new byte[Length - 100]);
            }),
            client => client.ReadAsync(At, new byte[Length], NbdCommandFlags.DontFragment).AsTask(),
            ErrorCode.Corrupt,
            "fragments"),
        ["does not end with an empty chunk"] = Read(Structured, (peer, r) => peer.Chunk(r, NbdReplyType.None, [], done: false), "does not end"),
        ["fills an empty chunk"] = Read(Structured, (peer, r) => peer.Chunk(r, NbdReplyType.None, [1]), "has a payload"),
        ["sends a chunk nobody knows"] = Read(Structured, (peer, r) => peer.Chunk(r, (NbdReplyType)99, new byte[4]), "type 99"),
        ["sends data for a write"] = Write((peer, r) => peer.Data(r, At, new byte[Length]), "as the reply to command 1"),
        ["sends a hole for a write"] = Write((peer, r) => peer.Hole(r, At, 512), "type 2 as the reply to command 1"),
        ["sends block status for a read"] = Read(Structured, (peer, r) => peer.Status(r, 7, [(Length, 0)]), "as the reply to command 0"),
        ["sends extended block status for a read"] = Read(Extended, (peer, r) => peer.Status(r, 7, [(Length, 0)]), "as the reply to command 0"),
        ["sends short block status where extended was agreed on"] = Status(
            Extended, (peer, r) => peer.Chunk(r, NbdReplyType.BlockStatus, new FakeBytes().U32(7).U32(Length).U32(0).Done), "type 5"),
        ["sends extended block status where short was agreed on"] = Status(
            Structured, (peer, r) => peer.Chunk(r, NbdReplyType.BlockStatusExtended, new FakeBytes().U32(7).U32(1).U64(Length).U64(0).Done), "type 6"),
        ["tells of an error without a number"] = Read(Structured, (peer, r) => peer.Error(r, NbdError.None), "no number"),
        ["tells of an error in too few bytes"] = Read(Structured, (peer, r) => peer.Chunk(r, NbdReplyType.Error, new byte[5]), "5 bytes"),
        ["tells of an error with a text that is not there"] = Read(
            Structured, (peer, r) => peer.Chunk(r, NbdReplyType.Error, new FakeBytes().U32(5).U16(100).Text("x").Done), "longer than it may be"),
        ["tells of an error at length"] = Read(Structured, (peer, r) => peer.Error(r, NbdError.Io, new string('x', 60_000)), "longer than it may be"),
        ["tells of an error elsewhere"] = Read(
            Structured, (peer, r) => peer.Chunk(r, NbdReplyType.ErrorOffset, new FakeBytes().U32(5).U16(0).U64(At + Length).Done), "outside of the request"),
        ["tells of an error before the request"] = Read(
            Structured, (peer, r) => peer.Chunk(r, NbdReplyType.ErrorOffset, new FakeBytes().U32(5).U16(0).U64(At - 1).Done), "outside of the request"),
        ["tells of an error at a place that is not there"] = Read(
            Structured, (peer, r) => peer.Chunk(r, NbdReplyType.ErrorOffset, new FakeBytes().U32(5).U16(0).Done), "6 bytes"),
        ["tells of an error whose text takes the room of its place"] = Read(
            Structured, (peer, r) => peer.Chunk(r, NbdReplyType.ErrorOffset, new FakeBytes().U32(5).U16(8).U64(At).Done), "longer than it may be"),
        ["tells of an error after all data"] = new Attack(
            Serve(Structured, (peer, r) =>
            {
                peer.Data(r, At, new byte[Length], done: false);
                peer.Error(r, NbdError.Io, "after all");
            }),
            client => ReadAsync(client),
            ErrorCode.Io,
            "'after all'"),
        ["sends the status of an unknown context"] = Status(Structured, (peer, r) => peer.Status(r, 8, [(Length, 0)]), "unknown context 8"),
        ["sends the status of a context twice"] = Status(
            Structured,
            (peer, r) =>
            {
                peer.Status(r, 7, [(Length, 0)], done: false);
                peer.Status(r, 7, [(Length, 0)]);
            },
            "comes twice"),
        ["leaves a context out"] = Status(Extended, (peer, r) => peer.Done(r), "without all contexts"),
        ["leaves one of two contexts out"] = new Attack(
            peer =>
            {
                peer.Handshake(Structured, contexts: [new(7, "base:allocation"), new(9, "x:other")]);
                peer.Status(peer.ReadRequest().Header, 9, [(Length, 0)]);
                peer.WaitForEnd();
            },
            client => client.BlockStatusAsync(At, Length, NbdCommandFlags.None, new NbdStatusSink()).AsTask(),
            ErrorCode.Corrupt,
            "without all contexts")
        {
            Options = options => options with { MetaContexts = ["base:allocation", "x:other"] },
        },
        ["calls block status a success by a simple reply"] = Status(Structured, (peer, r) => peer.Simple(r), "without all contexts"),
        ["sends an extent of no length"] = Status(Structured, (peer, r) => peer.Status(r, 7, [(0, 0)]), "no length"),
        ["sends no extents"] = Status(Structured, (peer, r) => peer.Status(r, 7, []), "4 bytes"),
        ["sends half an extent"] = Status(Structured, (peer, r) => peer.Chunk(r, NbdReplyType.BlockStatus, new FakeBytes().U32(7).U32(1).Done), "8 bytes"),
        ["sends extents beyond the range"] = Status(Structured, (peer, r) => peer.Status(r, 7, [(Length, 0), (512, 3)]), "follow the end"),
        ["sends extents whose lengths overflow"] = Status(Extended, (peer, r) => peer.Status(r, 7, [(ulong.MaxValue - 1, 0), (512, 3)]), "follow the end"),
        ["sends two million extents"] = Status(Structured, (peer, r) => Head(peer, r, NbdReplyType.BlockStatus, 4 + (8 * (2UL << 20))), "16777220 bytes"),
        ["counts extents wrongly"] = Status(
            Extended, (peer, r) => peer.Chunk(r, NbdReplyType.BlockStatusExtended, new FakeBytes().U32(7).U32(9).U64(Length).U64(0).Done), "wrongly"),
        ["sends a status of 64 bits for base:allocation"] = Status(Extended, (peer, r) => peer.Status(r, 7, [(Length, 1UL << 40)]), "32 bits"),
        ["sends two extents for one"] = One((peer, r) => peer.Status(r, 7, [(512, 0), (512, 3)]), "where one was asked for"),
        ["sends a long extent for one"] = One((peer, r) => peer.Status(r, 7, [(Length + 1, 0)]), "not to leave"),
        ["sends extents of less than a block"] = new Attack(
            peer =>
            {
                peer.Handshake(Structured, contexts: [new(7, NbdContextNames.AllocationDepth)], block: new NbdBlockSize(4096, 4096, 65536));
                peer.Status(peer.ReadRequest().Header, 7, [(100, 0)]);
                peer.WaitForEnd();
            },
            client => client.BlockStatusAsync(At, Length, NbdCommandFlags.None, new NbdStatusSink()).AsTask(),
            ErrorCode.Corrupt,
            "minimum block size")
        {
            Options = options => options with { MetaContexts = [NbdContextNames.AllocationDepth] },
        },
        ["stops in the middle of a reply"] = Late((peer, r) => peer.Send([.. HeadOf(peer, r, NbdReplyType.OffsetData, Length + 8), 0, 0]), "in the middle of a reply"),
        ["stops in the middle of a header"] = Late((peer, r) => peer.Send(HeadOf(peer, r, NbdReplyType.OffsetData, Length + 8)[..7]), "in the middle of a reply"),
        ["stops in the middle of a reply's first number"] = Late(
            (peer, r) => peer.Send(HeadOf(peer, r, NbdReplyType.OffsetData, Length + 8)[..3]), "in the middle of a reply"),
        ["never answers"] = Late((_, _) => { }, "has not answered"),
        ["leaves in the middle of a reply"] = Lost((peer, r) => peer.Send([.. HeadOf(peer, r, NbdReplyType.OffsetData, Length + 8), 0, 0]), "the server closed it"),
        ["leaves after a request"] = Lost((_, _) => { }, "is lost"),
        ["never reads what it is sent"] = new Attack(
            peer =>
            {
                peer.Handshake(Structured, size: 64 << 20);
                Thread.Sleep(TimeSpan.FromSeconds(30));
            },
            client => client.WriteAsync(0, new byte[32 << 20]).AsTask(),
            ErrorCode.Disconnected,
            "is lost")
        {
            Options = options => options with { SilenceLimit = Soon },
        },
        ["says that a write is done, and reads it not"] = new Attack(
            peer =>
            {
                peer.Handshake(Structured, size: 64 << 20);
                NbdRequestHeader.TryRead(peer.Receive(NbdRequestHeader.CompactSize), Structured, out var request);
                peer.Simple(request);
                Thread.Sleep(TimeSpan.FromSeconds(30));
            },
            client => client.WriteAsync(0, new byte[32 << 20]).AsTask(),
            ErrorCode.Disconnected,
            "is lost")
        {
            Options = options => options with { SilenceLimit = Soon },
        },
    };

    private static Task ReadAsync(NbdClient client) => client.ReadAsync(At, new byte[Length]).AsTask();

    private static Action<FakePeer> Serve(NbdHeaderStyle style, Action<FakePeer, NbdRequestHeader> answer) => peer =>
    {
        peer.Handshake(style);
        answer(peer, peer.ReadRequest().Header);
        peer.WaitForEnd();
    };

    private static Attack Read(NbdHeaderStyle style, Action<FakePeer, NbdRequestHeader> answer, string says) =>
        new(Serve(style, answer), ReadAsync, ErrorCode.Corrupt, says);

    private static Attack Late(Action<FakePeer, NbdRequestHeader> answer, string says) =>
        new(Serve(Structured, answer), ReadAsync, ErrorCode.Disconnected, says) { Options = options => options with { SilenceLimit = Soon } };

    private static Attack Lost(Action<FakePeer, NbdRequestHeader> answer, string says) => new(
        peer =>
        {
            peer.Handshake(Structured);
            answer(peer, peer.ReadRequest().Header);
            peer.Dispose();
        },
        ReadAsync,
        ErrorCode.Disconnected,
        says);

    private static Attack Write(Action<FakePeer, NbdRequestHeader> answer, string says) =>
        new(Serve(Structured, answer), client => client.WriteAsync(At, new byte[Length]).AsTask(), ErrorCode.Corrupt, says);

    private static Attack Status(NbdHeaderStyle style, Action<FakePeer, NbdRequestHeader> answer, string says) => new(
        Serve(style, answer),
        client => client.BlockStatusAsync(At, Length, NbdCommandFlags.None, new NbdStatusSink()).AsTask(),
        ErrorCode.Corrupt,
        says);

    private static Attack One(Action<FakePeer, NbdRequestHeader> answer, string says) => new(
        Serve(Structured, answer),
        client => client.BlockStatusAsync(At, Length, NbdCommandFlags.RequestOne, new NbdStatusSink()).AsTask(),
        ErrorCode.Corrupt,
        says);

    private static void Head(FakePeer peer, in NbdRequestHeader request, NbdReplyType type, ulong length) => peer.Send(HeadOf(peer, request, type, length));

    private static byte[] HeadOf(FakePeer peer, in NbdRequestHeader request, NbdReplyType type, ulong length)
    {
        var head = new byte[NbdReplyHeader.SizeOf(peer.Style)];
        NbdReplyHeader.Chunk(peer.Style, NbdReplyFlags.Done, type, request, length).Write(head);
        return head;
    }
}
