namespace Byre.Jobs;

/// <summary>What is done with a part of what a worker has read.</summary>
internal enum RunKind
{
    /// <summary>Written.</summary>
    Data,

    /// <summary>Made to read as zeroes.</summary>
    Zero,

    /// <summary>Left alone: what the copy is compared with has the same there.</summary>
    Same,
}
