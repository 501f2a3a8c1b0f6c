using System.Buffers.Binary;

namespace Byre.Fuzz;

/// <summary>Damages an image: mostly its header and tables, with values that have hurt programs before.</summary>
internal sealed class Qcow2Mutator(Random random)
{
    private static readonly int[] HeaderFields32 = [4, 16, 20, 32, 36, 56, 60, 96, 100, 104];
    private static readonly int[] HeaderFields64 = [8, 24, 40, 48, 64, 72, 80, 88];

    /// <summary>A damaged copy.</summary>
    public byte[] Mutate(byte[] image)
    {
        var bytes = (byte[])image.Clone();
        for (var i = random.Next(1, 5); i > 0; i--)
        {
            bytes = MutateOnce(bytes);
        }

        return bytes;
    }

    private byte[] MutateOnce(byte[] bytes)
    {
        switch (random.Next(12))
        {
            case 0:
                bytes[random.Next(Math.Min(bytes.Length, 512))] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                var field = HeaderFields32[random.Next(HeaderFields32.Length)];
                Write(bytes, field, 4, Interesting(bytes.Length));
                break;
            case 2:
                Write(bytes, HeaderFields64[random.Next(HeaderFields64.Length)], 8, Interesting(bytes.Length));
                break;
            case 3 when random.Next(4) == 0:
                return bytes[..random.Next(bytes.Length + 1)];
            case 4:
                // A header extension, or the backing file's name.
                if (bytes.Length > 104)
                {
                    bytes[random.Next(104, Math.Min(bytes.Length, 512))] = (byte)random.Next(256);
                }

                break;
            case 5:
                // One piece over another: tables that are shared, loops.
                var size = 8 << random.Next(8);
                if (bytes.Length > size)
                {
                    var (from, to) = (random.Next(bytes.Length - size) & ~7, random.Next(bytes.Length - size) & ~7);
                    Buffer.BlockCopy(bytes, from, bytes, to, size);
                }

                break;
            default:
                MutateTableEntry(bytes);
                break;
        }

        return bytes;
    }

    /// <summary>An entry of a table: somewhere among bytes that are not zero, as most data here is few.</summary>
    private void MutateTableEntry(byte[] bytes)
    {
        for (var tries = 0; tries < 20 && bytes.Length >= 16; tries++)
        {
            var at = random.Next(bytes.Length / 8) * 8;
            if (at + 8 > bytes.Length || (BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at)) == 0 && tries < 15))
            {
                continue;
            }

            var old = BinaryPrimitives.ReadUInt64BigEndian(bytes.AsSpan(at));
            Write(bytes, at, 8, random.Next(3) switch
            {
                0 => old ^ (1UL << random.Next(64)),
                1 => (old & 0xc000_0000_0000_0000) | ((ulong)Interesting(bytes.Length) & 0x3fff_ffff_ffff_ffff),
                _ => (ulong)Interesting(bytes.Length),
            });
            return;
        }
    }

    private ulong Interesting(int length) => random.Next(14) switch
    {
        0 => 0,
        1 => 1,
        2 => ulong.MaxValue,
        3 => long.MaxValue,
        4 => 1UL << random.Next(64),
        5 => (1UL << random.Next(1, 64)) - 1,
        6 => (ulong)length,
        7 => (ulong)(random.Next(Math.Max(1, length)) & ~511),
        8 => (uint)(random.Next(Math.Max(1, length)) & ~4095) | 0x8000_0000_0000_0000,
        9 => (ulong)random.Next(256),
        10 => 0xffff_ffff,
        11 => 0x4000_0000_0000_0000 | (ulong)random.NextInt64(),
        12 => (uint)(random.Next(Math.Max(1, length)) & ~511) | 1,
        _ => (ulong)random.NextInt64(),
    };

    private static void Write(byte[] bytes, int at, int size, ulong value)
    {
        if (at + size > bytes.Length)
        {
            return;
        }

        if (size == 4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(at), (uint)value);
        }
        else
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes.AsSpan(at), value);
        }
    }
}
