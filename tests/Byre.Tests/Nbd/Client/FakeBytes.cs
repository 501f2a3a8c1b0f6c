using System.Buffers.Binary;
using System.Text;

namespace Byre.Tests.Nbd.Client;

/// <summary>Builds a message out of big-endian numbers.</summary>
internal sealed class FakeBytes
{
    private readonly List<byte> all = [];

    public byte[] Done => [.. all];

    public FakeBytes U16(int value)
    {
        Span<byte> bytes = stackalloc byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)value);
        all.AddRange(bytes);
        return this;
    }

    public FakeBytes U32(uint value)
    {
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        all.AddRange(bytes);
        return this;
    }

    public FakeBytes U64(ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        all.AddRange(bytes);
        return this;
    }

    public FakeBytes Raw(byte[] bytes)
    {
        all.AddRange(bytes);
        return this;
    }

    public FakeBytes Text(string text) => Raw(Encoding.UTF8.GetBytes(text));

    public FakeBytes Fill(byte value, int count)
    {
        var bytes = new byte[count];
        bytes.AsSpan().Fill(value);
        return Raw(bytes);
    }
}
