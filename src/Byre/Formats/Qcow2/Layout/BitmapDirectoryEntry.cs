using System.Text;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>A whole entry of the bitmap directory (qcow2 specification, "Bitmap directory").</summary>
/// <param name="Fixed">The fixed part.</param>
/// <param name="Extra">The extra data, kept as it is.</param>
/// <param name="NameBytes">The name as stored, 1 to 1023 bytes.</param>
internal sealed record BitmapDirectoryEntry(BitmapEntry Fixed, ReadOnlyMemory<byte> Extra, ReadOnlyMemory<byte> NameBytes)
{
    /// <summary>The name.</summary>
    internal string Name => Encoding.UTF8.GetString(NameBytes.Span);

    /// <summary>As <see cref="BitmapEntry.IsBeyondUse"/>.</summary>
    internal bool IsBeyondUse => Fixed.IsBeyondUse;

    /// <summary>An entry of a new bitmap.</summary>
    internal static BitmapDirectoryEntry Create(string name, BitmapEntry start)
    {
        var bytes = Encoding.UTF8.GetBytes(name);
        return new BitmapDirectoryEntry(start with { NameLength = (ushort)bytes.Length, ExtraBytes = 0 }, default, bytes);
    }

    /// <summary>Writes it with its padding, which takes <see cref="BitmapEntry.Length"/> bytes.</summary>
    internal void Write(Span<byte> bytes)
    {
        bytes[..(int)Fixed.Length].Clear();
        Fixed.Write(bytes);
        Extra.Span.CopyTo(bytes[BitmapEntry.FixedLength..]);
        NameBytes.Span.CopyTo(bytes[(BitmapEntry.FixedLength + Extra.Length)..]);
    }
}
