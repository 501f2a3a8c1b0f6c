using Byre.Nbd.Protocol;

namespace Byre.Fuzz.Nbd;

/// <summary>An export whose every right answer is known: its bytes, what two metadata contexts say, and which requests fail.</summary>
internal sealed class ModelDisk
{
    public const int Size = 1 << 20;

    /// <summary>The minimum block size.</summary>
    public const int Block = 512;

    /// <summary>Requests keep to one region each, so that no reply to one can be taken for one to another.</summary>
    public const int Region = 128 << 10;

    public const int Regions = Size / Region;

    private const int Unit = 4096; // what is zero is so in these

    private readonly bool[] fails = new bool[Regions];

    public ModelDisk(Random random)
    {
        random.NextBytes(Bytes);
        for (var at = 0; at < Size; at += Unit)
        {
            if (random.Next(3) == 0)
            {
                Bytes.AsSpan(at, Math.Min(random.Next(1, 8) * Unit, Size - at)).Clear();
            }
        }

        for (var i = 0; i < Regions; i++)
        {
            fails[i] = random.Next(6) == 0;
        }
    }

    public byte[] Bytes { get; } = new byte[Size];

    /// <summary>The contexts, in the order asked for, with the numbers that the server gives them.</summary>
    public static IReadOnlyList<(uint Id, string Name)> Contexts { get; } = [(7, "base:allocation"), (9, "x:other")];

    /// <summary>The server is to answer a request with an error.</summary>
    public bool Fails(NbdCommand command, long offset) => command != NbdCommand.Flush && fails[offset / Region];

    /// <summary>What a context says of the block at an offset.</summary>
    public ulong FlagsAt(int context, long offset)
    {
        var start = (int)(offset / Unit * Unit);
        return context == 0 ? (Bytes.AsSpan(start, Unit).ContainsAnyExcept((byte)0) ? 0UL : 3) : (ulong)(offset / (5 * Unit) % 3);
    }

    /// <summary>The extents of a range, the last one as long as it says the same.</summary>
    public List<NbdStatusDescriptor> ExtentsOf(int context, long offset, long length)
    {
        var extents = new List<NbdStatusDescriptor>();
        for (var at = offset; at < offset + length;)
        {
            var (end, flags) = (at, FlagsAt(context, at));
            while (end < Size && FlagsAt(context, end) == flags)
            {
                end += Block;
            }

            extents.Add(new NbdStatusDescriptor((ulong)(end - at), flags));
            at = end;
        }

        return extents;
    }
}
