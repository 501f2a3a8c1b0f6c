namespace Byre.Crash;

/// <summary>
/// What a guest did to a disk, and so what each sector may hold after a crash at any time: what was there at the last
/// completed flush, or what any later request wrote. Requests to one sector are never in flight at the same time.
/// </summary>
internal sealed class GuestModel
{
    private readonly List<GuestChange>[] sectors;
    private readonly List<(long Began, long Ended)> flushes = [];

    public GuestModel(int sectorCount, Func<int, int> initialValue)
    {
        sectors = new List<GuestChange>[sectorCount];
        for (var i = 0; i < sectorCount; i++)
        {
            sectors[i] = [new GuestChange(initialValue(i), false, true, -1) { Ended = -1 }];
        }
    }

    public int SectorCount => sectors.Length;

    /// <summary>A request begins.</summary>
    public void Add(GuestChange change, int firstSector, int count)
    {
        for (var i = firstSector; i < firstSector + count; i++)
        {
            sectors[i].Add(change);
        }
    }

    /// <summary>A flush has completed.</summary>
    public void AddFlush(long began, long ended) => flushes.Add((began, ended));

    /// <summary>What a sector may hold after a crash at a tick.</summary>
    public HashSet<int> Legal(int sector, long tick)
    {
        var covered = long.MinValue;
        foreach (var (began, ended) in flushes)
        {
            covered = ended < tick ? Math.Max(covered, began) : covered;
        }

        return Legal(sector, tick, covered);
    }

    /// <summary>Compares a disk's content with what is legal without a crash, when no request is in flight.</summary>
    /// <returns>What is wrong with the first wrong sector, or null.</returns>
    public string? VerifyLive(ReadOnlySpan<byte> content) => VerifyRead(content, 0, long.MaxValue, long.MaxValue);

    /// <summary>
    /// Compares what a read has seen with what is legal: of requests that were in flight meanwhile it may have seen any byte
    /// or not, since no file keeps a read and a write of the same bytes apart.
    /// </summary>
    /// <param name="content">What was read: whole sectors.</param>
    /// <param name="first">The first of them.</param>
    /// <param name="began">The tick at which the read began.</param>
    /// <param name="ended">The tick at which it ended.</param>
    /// <returns>What is wrong with the first wrong sector, or null.</returns>
    public string? VerifyRead(ReadOnlySpan<byte> content, int first, long began, long ended) =>
        Verify(content, first, content.Length / SectorContent.Size, ended, i => Legal(i, ended, began, isCrash: false), mayBeTorn: true);

    /// <summary>Compares a disk's content with what is legal after a crash at a tick.</summary>
    /// <returns>What is wrong with the first wrong sector, or null.</returns>
    public string? Verify(ReadOnlySpan<byte> content, long tick) => Verify(content, 0, sectors.Length, tick, i => Legal(i, tick));

    private HashSet<int> Legal(int sector, long tick, long covered, bool isCrash = true)
    {
        var values = new HashSet<int>();
        var changes = sectors[sector];
        for (var i = changes.Count - 1; i >= 0; i--)
        {
            var change = changes[i];
            if (change.Began >= tick)
            {
                continue;
            }

            values.Add(change.Value);
            if (!change.IsUncertain && (change.Ended < covered || (isCrash && change.IsFua && change.Ended < tick)))
            {
                break;
            }
        }

        return values;
    }

    private string? Verify(ReadOnlySpan<byte> content, int first, int count, long tick, Func<int, HashSet<int>> legalValues, bool mayBeTorn = false)
    {
        var expected = new byte[SectorContent.Size];
        for (var i = first; i < first + count; i++)
        {
            var actual = content.Slice((i - first) * SectorContent.Size, SectorContent.Size);
            var legal = legalValues(i);
            var found = false;
            foreach (var value in legal)
            {
                found |= Holds(value, i, actual);
            }

            if (!found && !(mayBeTorn && legal.Count > 1 && IsMixed(actual, legal, i)))
            {
                GuestChange? holds = null;
                foreach (var change in sectors[i])
                {
                    holds = Holds(change.Value, i, actual) ? change : holds;
                }

                var all = string.Join(", ", sectors[i].Select(c => $"{(c.IsUncertain ? $"perhaps {c.Value}" : c.Value)}@{c.Began}-{c.Ended}"));
                return $"guest sector {i} holds {(holds is null ? Describe(actual) : $"the value {holds.Value}")}, legal at {tick}: "
                    + $"{string.Join(", ", legal)} (changes: {all})";
            }
        }

        return null;

        bool Holds(int value, int sector, ReadOnlySpan<byte> bytes)
        {
            SectorContent.Fill(expected, value, sector);
            return bytes.SequenceEqual(expected);
        }
    }

    /// <summary>Each byte of a sector is that of one of the values.</summary>
    private static bool IsMixed(ReadOnlySpan<byte> sector, HashSet<int> values, int index)
    {
        Span<bool> known = stackalloc bool[SectorContent.Size];
        Span<byte> bytes = stackalloc byte[SectorContent.Size];
        foreach (var value in values)
        {
            SectorContent.Fill(bytes, value, index);
            for (var i = 0; i < bytes.Length; i++)
            {
                known[i] |= bytes[i] == sector[i];
            }
        }

        return !known.Contains(false);
    }

    private static string Describe(ReadOnlySpan<byte> sector) => sector.ContainsAnyExcept((byte)0)
        ? $"foreign bytes ({Convert.ToHexString(sector[..16])}...)"
        : "zeroes";
}
