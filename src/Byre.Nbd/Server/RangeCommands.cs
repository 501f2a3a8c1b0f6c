using Byre.Nbd.Protocol;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Nbd.Server;

/// <summary>The commands that carry no data: FLUSH, TRIM, WRITE_ZEROES, CACHE, RESIZE. Their ranges are checked already.</summary>
/// <param name="export">The export.</param>
internal sealed class RangeCommands(NbdExport export)
{
    /// <summary>The most that CACHE reads at a time, in bytes.</summary>
    public const int CachePiece = 1 << 20;

    // CACHE is a hint: so much of the range is read ahead, and the rest is left to the reads that will come.
    private const ulong MostCached = 32 << 20;

    /// <summary>Runs one.</summary>
    /// <exception cref="BlockException">It failed.</exception>
    public ValueTask RunAsync(in NbdRequestHeader request)
    {
        var offset = export.Offset + (long)request.Offset;
        var isDurable = export.IsWriteThrough || (request.Flags & NbdCommandFlags.Fua) != 0;
        return request.Command switch
        {
            NbdCommand.Trim => TrimAsync(offset, (long)request.Length, isDurable),
            NbdCommand.WriteZeroes => export.Edge.WriteZeroesAsync(offset, (long)request.Length, ZeroFlags(request.Flags, isDurable)),
            NbdCommand.Cache => CacheAsync(offset, (long)Math.Min(request.Length, MostCached)),
            NbdCommand.Resize => ResizeAsync((long)request.Offset, isDurable),
            _ => export.Edge.FlushAsync(),
        };
    }

    private static WriteFlags ZeroFlags(NbdCommandFlags flags, bool isDurable) =>
        ((flags & NbdCommandFlags.NoHole) == 0 ? WriteFlags.MayUnmap : 0)
        | ((flags & NbdCommandFlags.FastZero) != 0 ? WriteFlags.NoFallback : 0)
        | (isDurable ? WriteFlags.Fua : 0);

    private async ValueTask TrimAsync(long offset, long length, bool isDurable)
    {
        await export.Edge.DiscardAsync(offset, length).ConfigureAwait(false);
        if (isDurable)
        {
            await export.Edge.FlushAsync().ConfigureAwait(false);
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
