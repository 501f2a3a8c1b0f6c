namespace Byre.Filters;

/// <summary>What an entry of a write log is.</summary>
public enum WriteLogKind
{
    /// <summary>Data was written.</summary>
    Write,

    /// <summary>A range was made to read as zeroes.</summary>
    WriteZeroes,

    /// <summary>Space was given back: the range reads as anything afterwards.</summary>
    Discard,

    /// <summary>The length was changed.</summary>
    Resize,

    /// <summary>All that had completed when it began is on stable storage when it completes.</summary>
    Flush,

    /// <summary>A note of the log's user.</summary>
    Mark,
}
