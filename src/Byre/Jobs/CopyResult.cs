namespace Byre.Jobs;

/// <summary>What a copy did with the bytes of its sources, in bytes.</summary>
public sealed record CopyResult
{
    /// <summary>The length of all sources together.</summary>
    public long Length { get; init; }

    /// <summary>Read through this program.</summary>
    public long BytesRead { get; init; }

    /// <summary>Written as data, or stored compressed.</summary>
    public long BytesWritten { get; init; }

    /// <summary>Written as zeroes without data.</summary>
    public long BytesZeroed { get; init; }

    /// <summary>Copied or shared by the kernel.</summary>
    public long BytesKernelCopied { get; init; }

    /// <summary>Left alone: zeroes on a target that reads as zeroes, or absent above the base.</summary>
    public long BytesSkipped { get; init; }

    /// <summary>Could not be read, and became zeroes.</summary>
    public long BytesUnreadable { get; init; }
}
