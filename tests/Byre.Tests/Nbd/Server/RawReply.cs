using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;

namespace Byre.Tests.Nbd.Server;

/// <summary>A reply, put together from its chunks.</summary>
internal sealed class RawReply(ulong cookie, ulong offset, int readLength)
{
    private int covered;

    public ulong Cookie => cookie;

    public ulong Offset => offset;

    public int ReadLength => readLength;

    public NbdError Error { get; set; }

    public string Text { get; private set; } = "";

    /// <summary>What was read; the bytes of holes are zero.</summary>
    public byte[] Data { get; } = new byte[readLength];

    /// <summary>Data and holes, as "offset+length" and "(offset+length)".</summary>
    public List<string> Pieces { get; } = [];

    /// <summary>The extents of each context.</summary>
    public Dictionary<uint, List<(ulong Length, ulong Flags)>> Status { get; } = [];

    /// <summary>Data and holes together make up all that was asked for.</summary>
    public bool IsWhole => covered == readLength;

    public void Take(NbdReplyType type, byte[] payload)
    {
        switch (type)
        {
            case NbdReplyType.None:
                Assert.Empty(payload);
                break;
            case NbdReplyType.OffsetData:
                var at = RawClient.ReadU64(payload);
                payload.AsSpan(8).CopyTo(Data.AsSpan((int)(at - offset)));
                covered += payload.Length - 8;
                Pieces.Add($"{at}+{payload.Length - 8}");
                break;
            case NbdReplyType.OffsetHole:
                Assert.Equal(12, payload.Length);
                var size = RawClient.ReadU32(payload.AsSpan(8));
                Assert.NotEqual(0u, size);
                covered += (int)size;
                Pieces.Add($"({RawClient.ReadU64(payload)}+{size})");
                break;
            case NbdReplyType.BlockStatus:
            case NbdReplyType.BlockStatusExtended:
                TakeStatus(payload, type == NbdReplyType.BlockStatusExtended);
                break;
            case NbdReplyType.Error:
                Error = (NbdError)RawClient.ReadU32(payload);
                Assert.NotEqual(NbdError.None, Error);
                Assert.Equal(payload.Length - 6, BinaryPrimitives.ReadUInt16BigEndian(payload.AsSpan(4)));
                Text = Encoding.UTF8.GetString(payload.AsSpan(6));
                break;
            default:
                Assert.Fail($"a chunk of the type {type}");
                break;
        }
    }

    private void TakeStatus(byte[] payload, bool isExtended)
    {
        var extents = new List<(ulong, ulong)>();
        var rest = payload.AsSpan(4);
        if (isExtended)
        {
            Assert.Equal((uint)(rest.Length - 4) / 16, RawClient.ReadU32(rest));
            rest = rest[4..];
        }

        for (; rest.Length > 0; rest = rest[(isExtended ? 16 : 8)..])
        {
            extents.Add(isExtended
                ? (RawClient.ReadU64(rest), RawClient.ReadU64(rest[8..]))
                : (RawClient.ReadU32(rest), RawClient.ReadU32(rest[4..])));
            Assert.NotEqual(0UL, extents[^1].Item1);
        }

        Assert.NotEmpty(extents);
        Status.Add(RawClient.ReadU32(payload), extents);
    }
}
