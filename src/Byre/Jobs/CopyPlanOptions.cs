namespace Byre.Jobs;

/// <summary>What a <see cref="CopyPlan"/> must know of the copy.</summary>
/// <param name="BufferSize">Bytes of a worker's buffer; a multiple of the compression unit.</param>
/// <param name="ZeroFrom">From here on the target reads as zeroes.</param>
/// <param name="FillsZeroes">Zeroes are written as data.</param>
internal sealed record CopyPlanOptions(int BufferSize, long ZeroFrom, bool FillsZeroes);
