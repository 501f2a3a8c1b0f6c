using System.Buffers.Binary;

namespace Byre.Fuzz.Nbd;

/// <summary>Changes a stream of bytes as a peer might that is broken or means harm.</summary>
internal sealed class ByteMutator(Random random)
{
    private static readonly ulong[] Extremes =
        [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 4096, 4097, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1UL << 32, 1UL << 63, ulong.MaxValue, 32 << 20, (32 << 20) + 1];

    /// <summary>Makes a changed copy.</summary>
    /// <param name="original">The bytes.</param>
    /// <param name="numbers">Where in them numbers begin that mean something, if that is known: most changes are made there.</param>
    public byte[] Mutate(byte[] original, IReadOnlyList<int>? numbers = null)
    {
        var bytes = original.ToList();
        for (var count = random.Next(1, 4); count > 0 && bytes.Count > 0; count--)
        {
            var at = numbers is not null && random.Next(4) > 0 ? numbers[random.Next(numbers.Count)] : random.Next(bytes.Count);
            MutateOnce(bytes, Math.Min(at, bytes.Count - 1));
        }

        return [.. bytes];
    }

    private void MutateOnce(List<byte> bytes, int at)
    {
        var length = Math.Min(bytes.Count - at, random.Next(1, 40));
        switch (random.Next(8))
        {
            case 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1:
                bytes[at] = (byte)random.Next(256);
                break;
            case 2:
                bytes.RemoveRange(at, length);
                break;
            case 3:
                bytes.InsertRange(at, bytes.GetRange(at, length));
                break;
            case 4:
                var noise = new byte[length];
                random.NextBytes(noise);
                bytes.InsertRange(at, noise);
                break;
            case 5:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            default:
                var number = new byte[8];
                BinaryPrimitives.WriteUInt64BigEndian(number, Extremes[random.Next(Extremes.Length)]);
                var width = Math.Min(bytes.Count - at, 1 << random.Next(1, 4));
                for (var i = 0; i < width; i++)
                {
                    bytes[at + i] = number[8 - width + i];
                }

                break;
        }
    }
}
