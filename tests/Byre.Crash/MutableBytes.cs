namespace Byre.Crash;

/// <summary>A file's content that grows when it is written.</summary>
internal sealed class MutableBytes
{
    private byte[] bytes;

    public MutableBytes(byte[] start)
    {
        bytes = new byte[start.Length + (1 << 20)];
        start.CopyTo(bytes, 0);
        Length = start.Length;
    }

    public int Length { get; private set; }

    public Span<byte> Range(int offset, int count)
    {
        if (offset + count > Length)
        {
            Resize(offset + count);
        }

        return bytes.AsSpan(offset, count);
    }

    public void Resize(int length)
    {
        if (length > bytes.Length)
        {
            Array.Resize(ref bytes, length + (1 << 20));
        }

        if (length < Length)
        {
            bytes.AsSpan(length, Length - length).Clear();
        }

        Length = length;
    }

    public byte[] ToArray() => bytes.AsSpan(0, Length).ToArray();
}
