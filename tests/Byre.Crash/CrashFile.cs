using Byre.Filters;
using Byre.Nodes;

namespace Byre.Crash;

/// <summary>What a file may hold after a crash: its content at the start, and the log of what was done to it.</summary>
internal sealed class CrashFile(byte[] start, IReadOnlyList<WriteLogEntry> entries)
{
    private const int Sector = 512;

    public IReadOnlyList<WriteLogEntry> Entries => entries;

    /// <summary>The content if all that began before a tick was done, in order.</summary>
    public byte[] Prefix(long tick) => Build(tick, null);

    /// <summary>
    /// The content after a crash at a tick, with one of the legal outcomes: what a completed flush covers is there; of the
    /// rest any subset is, and what is there may be torn at sectors.
    /// </summary>
    public byte[] Reordered(long tick, Random random) => Build(tick, random);

    private byte[] Build(long tick, Random? random)
    {
        var covered = long.MinValue;
        foreach (var entry in entries)
        {
            covered = entry is { Kind: WriteLogKind.Flush, Failed: false } && entry.Ended < tick ? Math.Max(covered, entry.Began) : covered;
        }

        var image = new MutableBytes(start);
        var lost = random is null ? 0 : new[] { 0.05, 0.3, 0.7, 0.95 }[random.Next(4)];
        var torn = random is null ? 0 : new[] { 0, 0.2 }[random.Next(2)];
        foreach (var entry in entries)
        {
            if (entry.Began >= tick || !entry.IsChange)
            {
                continue;
            }

            var isDurable = !entry.Failed && (entry.Ended < covered || ((entry.Flags & WriteFlags.Fua) != 0 && entry.Ended < tick));
            if (isDurable || random is null)
            {
                Apply(image, entry, _ => true, isGarbage: false);
            }
            else if (random.NextDouble() >= lost)
            {
                var isTorn = random.NextDouble() < torn;
                Apply(image, entry, _ => !isTorn || random.Next(2) == 0, isGarbage: entry.Kind == WriteLogKind.Discard && random.Next(4) == 0);
            }
        }

        return image.ToArray();
    }

    /// <summary>Does what an entry says to those of its sectors that are chosen.</summary>
    private static void Apply(MutableBytes image, WriteLogEntry entry, Func<long, bool> chosen, bool isGarbage)
    {
        if (entry.Kind == WriteLogKind.Resize)
        {
            image.Resize((int)entry.Length);
            return;
        }

        var end = entry.Kind == WriteLogKind.Discard ? Math.Min(entry.End, image.Length) : entry.End;
        for (var at = entry.Offset; at < end;)
        {
            var stop = Math.Min(end, (at / Sector + 1) * Sector);
            if (chosen(at))
            {
                var target = image.Range((int)at, (int)(stop - at));
                if (entry.Kind == WriteLogKind.Write)
                {
                    entry.Data.Span.Slice((int)(at - entry.Offset), target.Length).CopyTo(target);
                }
                else
                {
                    target.Fill(isGarbage ? (byte)0xdd : (byte)0);
                }
            }

            at = stop;
        }
    }
}
