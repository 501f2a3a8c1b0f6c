using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;

namespace Byre.Nbd.Server;

/// <summary>
/// Reads an option's data from front to end. What does not fit in the data, or is no text, makes it
/// <see cref="IsBroken"/>; what is read afterwards means nothing.
/// </summary>
internal ref struct OptionData(ReadOnlySpan<byte> data)
{
    // A character that is not well formed fails; the decoder keeps nothing from one call to the next.
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private ReadOnlySpan<byte> rest = data;

    /// <summary>The data are not what they should be.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>A text was longer than the protocol allows.</summary>
    public bool IsTooLong { get; private set; }

    /// <summary>All of it has been read.</summary>
    public readonly bool IsAtEnd => rest.IsEmpty;

    /// <summary>Bytes that have not been read.</summary>
    public readonly int Left => rest.Length;

    /// <summary>Reads a number of 16 bits.</summary>
    public ushort ReadUInt16() => Take(sizeof(ushort)) is { IsEmpty: false } bytes ? BinaryPrimitives.ReadUInt16BigEndian(bytes) : (ushort)0;

    /// <summary>Reads a number of 32 bits.</summary>
    public uint ReadUInt32() => Take(sizeof(uint)) is { IsEmpty: false } bytes ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : 0;

    /// <summary>Reads a text with its length before it.</summary>
    public string ReadText()
    {
        var length = ReadUInt32();
        return length > (uint)rest.Length ? Broken() : ReadText((int)length);
    }

    /// <summary>Reads a text of a length.</summary>
    public string ReadText(int length)
    {
        var bytes = Take(length);
        if (bytes.Length > NbdLimits.MaxString)
        {
            IsTooLong = true;
            return Broken();
        }

        try
        {
            return bytes.Contains((byte)0) ? Broken() : Strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return Broken();
        }
    }

    private string Broken()
    {
        IsBroken = true;
        rest = default;
        return "";
    }

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > rest.Length)
        {
            Broken();
            return default;
        }

        var taken = rest[..count];
        rest = rest[count..];
        return taken;
    }
}
