namespace Byre.Nbd.Client;

/// <summary>Which bytes of a read have come. Chunks may come in any order, none twice (section "NBD_CMD_READ").</summary>
internal sealed class ReadCoverage
{
    /// <summary>The most pieces with gaps between them; a server that sends more is up to no good.</summary>
    internal const int MostPieces = 4096;

    private readonly List<(long Start, long End)> pieces = [];
    private long front;

    /// <summary>Nothing has come.</summary>
    public void Reset()
    {
        front = 0;
        pieces.Clear();
    }

    /// <summary>All of a read has come.</summary>
    public bool Covers(long length) => front >= length;

    /// <summary>A piece comes.</summary>
    /// <param name="start">Its first byte, counted from the request's.</param>
    /// <param name="end">The byte behind it.</param>
    /// <returns>What is wrong with it, or null.</returns>
    public string? Add(long start, long end)
    {
        if (start == front && pieces.Count == 0)
        {
            front = end;
            return null;
        }

        var at = 0;
        for (int low = 0, high = pieces.Count; low < high; at = low)
        {
            var middle = (low + high) / 2;
            (low, high) = pieces[middle].Start < start ? (middle + 1, high) : (low, middle);
        }

        if (start < (at == 0 ? front : pieces[at - 1].End) || (at < pieces.Count && end > pieces[at].Start))
        {
            return "parts of a read come twice";
        }

        if (at > 0 && pieces[at - 1].End == start)
        {
            start = pieces[--at].Start;
            pieces.RemoveAt(at);
        }

        if (at < pieces.Count && pieces[at].Start == end)
        {
            end = pieces[at].End;
            pieces.RemoveAt(at);
        }

        if (start == front)
        {
            front = end;
            return null;
        }

        pieces.Insert(at, (start, end));
        return pieces.Count > MostPieces ? "a read comes in too many pieces" : null;
    }
}
