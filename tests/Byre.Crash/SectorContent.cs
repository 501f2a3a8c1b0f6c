using System.Buffers.Binary;

namespace Byre.Crash;

/// <summary>What a guest sector holds after a given request: 512 bytes that tell the request and the sector.</summary>
internal static class SectorContent
{
    public const int Size = 512;

    /// <summary>The value of a sector that reads as zeroes.</summary>
    public const int Zero = 0;

    /// <summary>The value of a sector that comes from the backing image.</summary>
    public const int Backing = int.MaxValue;

    /// <summary>Fills a sector with the content of a value. Every third value cannot be compressed.</summary>
    public static void Fill(Span<byte> sector, int value, int index)
    {
        if (value == Zero)
        {
            sector.Clear();
            return;
        }

        var word = (((ulong)(uint)value << 32) | (uint)index) * 0x9e3779b97f4a7c15UL | 1;
        for (var i = 0; i < sector.Length; i += 8)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(sector[i..], word);
            if (value % 3 == 0)
            {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
            }
        }
    }

    /// <summary>The content of several sectors, all of one value.</summary>
    public static byte[] Make(int value, int firstSector, int count)
    {
        var data = new byte[count * Size];
        for (var i = 0; i < count; i++)
        {
            Fill(data.AsSpan(i * Size, Size), value, firstSector + i);
        }

        return data;
    }
}
