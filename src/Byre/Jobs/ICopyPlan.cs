namespace Byre.Jobs;

/// <summary>Hands out what is to be copied, in the order of the offsets. One caller at a time.</summary>
internal interface ICopyPlan
{
    /// <summary>The length of everything handed out so far, and of what is left out; that of the whole at the end.</summary>
    long Length { get; }

    /// <summary>The next chunk; null when all are handed out.</summary>
    ValueTask<CopyChunk?> NextAsync();
}
