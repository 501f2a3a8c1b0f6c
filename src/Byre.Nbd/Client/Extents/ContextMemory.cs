using Byre.Nbd.Protocol;

namespace Byre.Nbd.Client.Extents;

/// <summary>What one context has said, as far as nobody has read it yet.</summary>
internal sealed class ContextMemory
{
    private readonly List<NbdStatusDescriptor> extents = [];
    private int index;
    private long start; // of the extent at index

    /// <summary>Where the present extent ends.</summary>
    public long End => index < extents.Count ? start + (long)extents[index].Length : start;

    /// <summary>What the context says of the present extent.</summary>
    public ulong Flags => extents[index].Flags;

    /// <summary>Where what is known ends.</summary>
    public long KnownEnd { get; private set; }

    /// <summary>Goes to the extent that holds an offset.</summary>
    /// <returns>False where nothing is known of it.</returns>
    public bool TryMove(long offset)
    {
        if (offset < start)
        {
            return false;
        }

        while (index < extents.Count && End <= offset)
        {
            start = End;
            index++;
        }

        return index < extents.Count;
    }

    /// <summary>Takes an answer, unless what is known reaches further.</summary>
    /// <param name="offset">Where it begins.</param>
    /// <param name="answer">Its extents.</param>
    public void Learn(long offset, IReadOnlyList<NbdStatusDescriptor> answer)
    {
        var end = offset;
        foreach (var extent in answer)
        {
            end += (long)extent.Length;
        }

        if (answer.Count == 0 || (offset >= start && offset < KnownEnd && end <= KnownEnd))
        {
            return;
        }

        extents.Clear();
        extents.AddRange(answer);
        (index, start, KnownEnd) = (0, offset, end);
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        extents.Clear();
        (index, start, KnownEnd) = (0, 0, 0);
    }
}
