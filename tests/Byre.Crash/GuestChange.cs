namespace Byre.Crash;

/// <summary>A guest's request that changed sectors.</summary>
/// <param name="value">What the sectors hold afterwards (<see cref="SectorContent"/>).</param>
/// <param name="isUncertain">The sectors hold <paramref name="value"/> or what they held before: a discard.</param>
/// <param name="isFua">It is on stable storage once it has ended.</param>
/// <param name="began">The tick at which it began.</param>
internal sealed class GuestChange(int value, bool isUncertain, bool isFua, long began)
{
    public int Value => value;

    /// <summary>The sectors hold the value or what they held before. True of discards, and of what failed.</summary>
    public bool IsUncertain { get; set; } = isUncertain;

    public bool IsFua => isFua;

    public long Began => began;

    /// <summary>The tick at which it ended; <see cref="long.MaxValue"/> while it is in flight.</summary>
    public long Ended { get; set; } = long.MaxValue;
}
