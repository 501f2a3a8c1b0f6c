namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Ranges of a file that may lie over one another, answered as segments that do not, each with the number of ranges that
/// cover it: so that what is referenced a million times is read once.
/// </summary>
internal sealed class WeightedRanges
{
    private readonly List<(long At, int Change, int Marked)> edges = [];

    /// <summary>Adds a range.</summary>
    /// <param name="start">Its first byte.</param>
    /// <param name="end">The byte behind it; where it is not above <paramref name="start"/> nothing is added.</param>
    /// <param name="marked">It is counted as marked as well.</param>
    public void Add(long start, long end, bool marked = false)
    {
        if (end > start)
        {
            edges.Add((start, 1, marked ? 1 : 0));
            edges.Add((end, -1, marked ? -1 : 0));
        }
    }

    /// <summary>The segments that are covered, in order.</summary>
    public IEnumerable<(long Start, long End, long Weight, long Marked)> Segments()
    {
        edges.Sort((a, b) => a.At.CompareTo(b.At));
        long weight = 0, marked = 0;
        for (var i = 0; i < edges.Count; i++)
        {
            weight += edges[i].Change;
            marked += edges[i].Marked;
            if (weight > 0 && edges[i + 1].At > edges[i].At)
            {
                yield return (edges[i].At, edges[i + 1].At, weight, marked);
            }
        }
    }
}
