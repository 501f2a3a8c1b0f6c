using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>What the workers of one copy share.</summary>
internal sealed class CopyJobState
{
    public required CopySources Sources { get; init; }

    public required BlockEdge Target { get; init; }

    public required CopyTally Tally { get; init; }

    public required KernelCopy Kernel { get; init; }

    public required WriteOrder Order { get; init; }

    /// <summary>Null where the rate is free.</summary>
    public RateLimiter? Rate { get; init; }

    /// <summary>Null where a failed read ends the copy.</summary>
    public SalvageReader? Salvage { get; init; }

    /// <summary>What is the same elsewhere is left out; null: nothing is.</summary>
    public LeaveOut? LeaveOut { get; init; }

    /// <summary>Told of sectors that <see cref="Salvage"/> gave up, or null.</summary>
    public Action<long, BlockException>? Unreadable { get; init; }

    /// <summary>Set when the copy ends early.</summary>
    public required CancellationToken Stop { get; init; }

    /// <summary>Bytes of a worker's buffer.</summary>
    public required int BufferSize { get; init; }

    /// <summary>Compressed data is written in multiples of so many bytes; 1 where it is not compressed.</summary>
    public required int Unit { get; init; }

    /// <summary>Zeroes are looked for in blocks of so many bytes; 0: not at all.</summary>
    public required long Grain { get; init; }

    /// <summary>Zeroes are written as data.</summary>
    public required bool FillsZeroes { get; init; }

    /// <summary>A write is complete before the next one begins.</summary>
    public required bool Sequential { get; init; }

    /// <summary>From here on the target reads as zeroes.</summary>
    public required long ZeroFrom { get; init; }

    /// <summary>Shorter runs of zeroes are written as data where the target is not known to be zero.</summary>
    public required long ShortestZero { get; init; }

    /// <summary>Of every write.</summary>
    public required WriteFlags WriteFlags { get; init; }

    /// <summary>Of every request for zeroes.</summary>
    public required WriteFlags ZeroFlags { get; init; }
}
