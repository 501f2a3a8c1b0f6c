namespace Byre.Jobs;

/// <summary>What is to be done with a range.</summary>
internal enum SegmentKind
{
    /// <summary>Left alone.</summary>
    Skip,

    /// <summary>Made to read as zeroes.</summary>
    Zero,

    /// <summary>Copied.</summary>
    Data,
}
