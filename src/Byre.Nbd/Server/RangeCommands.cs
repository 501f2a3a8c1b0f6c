using System.Diagnostics;
using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Nbd.Server;

/// <summary>The commands that carry no data: FLUSH, TRIM, WRITE_ZEROES, CACHE, RESIZE. Their ranges are checked already.</summary>
/// <param name="export">The export.</param>
/// <param name="inFlight">Says when the connection is to end.</param>
internal sealed class RangeCommands(NbdExport export, InFlightRequests inFlight)
{
    /// <summary>The most that CACHE reads at a time, in bytes.</summary>
    public const int CachePiece = 1 << 20;

    // CACHE is a hint: so much of the range is read ahead, and the rest is left to the reads that will come.
    private const ulong MostCached = 32 << 20;

    // A longer range is done in pieces, so that an ending server need not wait for all of it. Pieces end at multiples of the
    // alignment, which is that of the largest clusters, and grow while they take no time.
    private const long FirstPiece = 1L << 30;
    private const long PieceAlignment = 2 << 20;

    private static readonly TimeSpan ShortTime = TimeSpan.FromMilliseconds(20);

    private static readonly TimeSpan LongTime = TimeSpan.FromMilliseconds(200);

    /// <summary>Runs one.</summary>
    /// <exception cref="BlockException">It failed.</exception>
    /// <exception cref="OperationCanceledException">The connection is to end, and a long range was given up on the way.</exception>
    public ValueTask RunAsync(in NbdRequestHeader request)
    {
        var offset = export.Offset + (long)request.Offset;
        var isDurable = export.IsWriteThrough || (request.Flags & NbdCommandFlags.Fua) != 0;
        return request.Command switch
        {
            NbdCommand.Trim => TrimAsync(offset, (long)request.Length, isDurable),
            NbdCommand.WriteZeroes => ZeroAsync(offset, (long)request.Length, ZeroFlags(request.Flags, isDurable)),
            NbdCommand.Cache => CacheAsync(offset, (long)Math.Min(request.Length, MostCached)),
            NbdCommand.Resize => ResizeAsync((long)request.Offset, isDurable),
            _ => export.Edge.FlushAsync(),
        };
    }

    private static WriteFlags ZeroFlags(NbdCommandFlags flags, bool isDurable) =>
        ((flags & NbdCommandFlags.NoHole) == 0 ? WriteFlags.MayUnmap : 0)
        | ((flags & NbdCommandFlags.FastZero) != 0 ? WriteFlags.NoFallback : 0)
        | (isDurable ? WriteFlags.Fua : 0);

    private ValueTask ZeroAsync(long offset, long length, WriteFlags flags)
    {
        return length <= FirstPiece ? export.Edge.WriteZeroesAsync(offset, length, flags) : LongAsync();

        async ValueTask LongAsync()
        {
            var plain = flags & ~WriteFlags.Fua;
            await InPiecesAsync(offset, length, (at, count) => export.Edge.WriteZeroesAsync(at, count, plain)).ConfigureAwait(false);
            if (plain != flags)
            {
                await export.Edge.FlushAsync().ConfigureAwait(false);
            }
        }
    }

    private async ValueTask TrimAsync(long offset, long length, bool isDurable)
    {
        await InPiecesAsync(offset, length, export.Edge.DiscardAsync).ConfigureAwait(false);
        if (isDurable)
        {
            await export.Edge.FlushAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask InPiecesAsync(long offset, long length, Func<long, long, ValueTask> change)
    {
        var end = offset + length;
        for (var piece = FirstPiece; offset < end;)
        {
            var stop = end - offset <= piece ? end : (offset + piece) & -PieceAlignment;
            var began = Stopwatch.GetTimestamp();
            await change(offset, stop - offset).ConfigureAwait(false);
            var took = Stopwatch.GetElapsedTime(began);
            piece = took < ShortTime ? Math.Min(piece * 2, 1L << 60) : took > LongTime ? Math.Max(piece / 2, 2 * PieceAlignment) : piece;
            offset = stop;
            if (offset < end && inFlight.IsCut)
            {
                throw new OperationCanceledException("the connection is to end");
            }
        }
    }

    private async ValueTask ResizeAsync(long length, bool isDurable)
    {
        await export.ResizeAsync(length).ConfigureAwait(false);
        if (isDurable)
        {
            await export.Edge.FlushAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask CacheAsync(long offset, long length)
    {
        using var buffer = BufferPool.Rent((int)Math.Min(CachePiece, length));
        for (var end = offset + length; offset < end;)
        {
            var piece = buffer.Memory[..(int)Math.Min(buffer.Memory.Length, end - offset)];
            await export.Edge.ReadAsync(offset, piece).ConfigureAwait(false);
            offset += piece.Length;
        }
    }
}
