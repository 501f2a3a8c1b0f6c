using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>
/// Compares what two images read as. What both sides know to be zero is never read; where one side knows, only the other is
/// read; the same bytes of the same file are equal without looking. Several pieces are in flight at a time, and the first
/// difference in the order of offsets is the one that is told.
/// </summary>
internal sealed class ImageComparison(ComparedImage first, ComparedImage second)
{
    private const int Piece = 1 << 20;
    private const int Parallel = 4;
    private const int Sector = 512;

    private readonly Queue<Task<long>> inFlight = new();

    /// <summary>Sizes and allocation must be equal too.</summary>
    public bool IsStrict { get; init; }

    /// <summary>Takes the result's lines, or null.</summary>
    public Action<string>? Say { get; init; }

    /// <summary>Told how far it is.</summary>
    public required ImgProgress Progress { get; init; }

    /// <summary>Ends the comparison early.</summary>
    public CancellationToken Stopping { get; init; }

    /// <summary>Compares.</summary>
    /// <returns>They are the same.</returns>
    /// <exception cref="ImgFailure">An image cannot be read.</exception>
    public async ValueTask<bool> RunAsync()
    {
        var total = Math.Max(first.Length, second.Length);
        Progress.Report(0, total);
        if (IsStrict && first.Length != second.Length)
        {
            Say?.Invoke("Strict mode: Image size mismatch!");
            return false;
        }

        try
        {
            var common = Math.Min(first.Length, second.Length);
            var difference = await CompareCommonAsync(common, total).ConfigureAwait(false);
            if (difference is null && common < total)
            {
                Say?.Invoke("Warning: Image size mismatch!");
                difference = await CompareRestAsync(first.Length > common ? first : second, common, total).ConfigureAwait(false);
            }

            if (difference is not null)
            {
                Say?.Invoke(difference);
                return false;
            }
        }
        finally
        {
            await SettleAsync().ConfigureAwait(false);
        }

        Progress.Report(total, total);
        Say?.Invoke("Images are identical.");
        return true;
    }

    private async ValueTask<string?> CompareCommonAsync(long common, long total)
    {
        for (var at = 0L; at < common;)
        {
            Stopping.ThrowIfCancellationRequested();
            var a = await first.StatusAsync(at, common).ConfigureAwait(false);
            var b = await second.StatusAsync(at, common).ConfigureAwait(false);
            var end = Math.Min(a.End, b.End);
            if (IsStrict && (!HaveSameStatus(a, b) || (a.End == common) != (b.End == common)))
            {
                return await DrainAsync(at, total).ConfigureAwait(false)
                    ?? $"Strict mode: Offset {at} block status mismatch!";
            }

            var isSame = (a.Zero && b.Zero) || (a.Offset >= 0 && a.Offset == b.Offset && ReferenceEquals(a.File, b.File) && !a.Zero && !b.Zero);
            for (; !isSame && at < end; at = Math.Min(end, at + Piece))
            {
                var (start, length) = (at, (int)Math.Min(Piece, end - at));
                var found = await AddAsync(ComparePieceAsync(start, length, a, b), start, total).ConfigureAwait(false);
                if (found is not null)
                {
                    return found;
                }
            }

            at = end;
            Progress.Report(at, total);
        }

        return await DrainAsync(common, total).ConfigureAwait(false);
    }

    private async ValueTask<string?> CompareRestAsync(ComparedImage longer, long from, long total)
    {
        for (var at = from; at < total;)
        {
            Stopping.ThrowIfCancellationRequested();
            var status = await longer.StatusAsync(at, total).ConfigureAwait(false);
            for (var piece = at; !status.Zero && piece < status.End; piece += Piece)
            {
                var length = (int)Math.Min(Piece, status.End - piece);
                var found = await AddAsync(FindNonZeroAsync(longer, piece, length), piece, total).ConfigureAwait(false);
                if (found is not null)
                {
                    return found;
                }
            }

            at = status.End;
            Progress.Report(at, total);
        }

        return await DrainAsync(total, total).ConfigureAwait(false);
    }

    /// <summary>The flags QEMU compares in strict mode (and the one for "this reaches the end"); the offsets may differ.</summary>
    private static bool HaveSameStatus(in BlockStatus a, in BlockStatus b) =>
        a.Present == b.Present && a.Zero == b.Zero && a.Data == b.Data && a.Compressed == b.Compressed && a.Offset >= 0 == b.Offset >= 0;

    /// <summary>Adds a piece; where there are many, the oldest is waited for.</summary>
    private async ValueTask<string?> AddAsync(Task<long> piece, long at, long total)
    {
        inFlight.Enqueue(piece);
        while (inFlight.Count >= Parallel || (inFlight.Count > 0 && inFlight.Peek().IsCompleted))
        {
            var offset = await inFlight.Dequeue().ConfigureAwait(false);
            if (offset >= 0)
            {
                return Mismatch(offset);
            }

            Progress.Report(at, total);
        }

        return null;
    }

    private async ValueTask<string?> DrainAsync(long at, long total)
    {
        while (inFlight.TryDequeue(out var piece))
        {
            var offset = await piece.ConfigureAwait(false);
            if (offset >= 0)
            {
                return Mismatch(offset);
            }
        }

        Progress.Report(at, total);
        return null;
    }

    /// <summary>Waits for what is still being read, before the images are closed.</summary>
    private async ValueTask SettleAsync()
    {
        while (inFlight.TryDequeue(out var piece))
        {
            await piece.ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
        }
    }

    private static string Mismatch(long offset) => $"Content mismatch at offset {offset}!";

    private Task<long> ComparePieceAsync(long at, int length, BlockStatus a, BlockStatus b) =>
        a.Zero ? FindNonZeroAsync(second, at, length)
        : b.Zero ? FindNonZeroAsync(first, at, length)
        : Task.Run(() => CompareDataAsync(at, length));

    private async Task<long> CompareDataAsync(long at, int length)
    {
        using var a = BufferPool.Rent(length);
        using var b = BufferPool.Rent(length);
        var (left, right) = (a.Memory[..length], b.Memory[..length]);
        await first.ReadAsync(at, left).ConfigureAwait(false);
        await second.ReadAsync(at, right).ConfigureAwait(false);
        var same = left.Span.CommonPrefixLength(right.Span);
        return same == length ? -1 : at + (same / Sector * Sector);
    }

    private static Task<long> FindNonZeroAsync(ComparedImage image, long at, int length) => Task.Run(async () =>
    {
        using var buffer = BufferPool.Rent(length);
        var memory = buffer.Memory[..length];
        await image.ReadAsync(at, memory).ConfigureAwait(false);
        var found = memory.Span.IndexOfAnyExcept((byte)0);
        return found < 0 ? -1L : at + (found / Sector * Sector);
    });
}
