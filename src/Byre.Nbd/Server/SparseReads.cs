using System.Collections.Concurrent;
using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;
using Byre.Nodes;

namespace Byre.Nbd.Server;

/// <summary>
/// Long reads whose replies leave out what the mapping knows to be zero (NBD_REPLY_TYPE_OFFSET_HOLE). Where there is no such
/// part the data are read in one piece.
/// </summary>
/// <param name="export">The export.</param>
/// <param name="style">Structured or extended.</param>
internal sealed class SparseReads(NbdExport export, NbdHeaderStyle style)
{
    // A reply has at most so many pieces; what the mapping splits further is read as data.
    private const int MaxPieces = 64;

    // A shorter hole is not worth a chunk of its own.
    private const long LeastHole = 4096;

    // How far beyond a read is looked for what the next ones will want, and how long that is believed: where data were and a
    // hole is now, zeroes are sent as data, which is right and no more than slow.
    private const long LookAhead = 32 << 20;
    private const long BelievedMilliseconds = 100;

    private readonly ConcurrentBag<Mapping> mappings = [];
    private volatile KnownData? known;

    /// <summary>There are data and no holes in a range, as far as is known. Only the connection's thread asks.</summary>
    /// <param name="request">A READ whose range lies in the export.</param>
    public bool IsKnownData(in NbdRequestHeader request)
    {
        var offset = export.Offset + (long)request.Offset;
        return known is { } data && offset >= data.Start && offset + (long)request.Length <= data.End
            && Environment.TickCount64 - data.SeenAt <= BelievedMilliseconds;
    }

    /// <summary>Reads, and leaves data or chunks in the request's payload.</summary>
    /// <param name="pending">The request, longer than a short read; its range lies in the export.</param>
    /// <exception cref="BlockException">The image could not be read.</exception>
    public async ValueTask ReadAsync(PendingRequest pending)
    {
        var offset = export.Offset + (long)pending.Header.Offset;
        var length = (int)pending.Header.Length;
        if (!mappings.TryTake(out var mapping))
        {
            mapping = new Mapping(export.Edge);
        }

        try
        {
            if (!await mapping.FindHolesAsync(offset, length).ConfigureAwait(false))
            {
                known = new KnownData(offset, mapping.DataEnd, Environment.TickCount64);
                await export.Edge.ReadAsync(offset, pending.Rent(length).Memory).ConfigureAwait(false);
                return;
            }

            await ReadPiecesAsync(pending, mapping).ConfigureAwait(false);
        }
        finally
        {
            mappings.Add(mapping);
        }
    }

    private async ValueTask ReadPiecesAsync(PendingRequest pending, Mapping mapping)
    {
        var head = ReplyFrames.ReadHeadSize(style);
        var total = 0;
        foreach (var piece in mapping.Pieces)
        {
            total += head + (piece.IsHole ? sizeof(uint) : (int)piece.Length);
        }

        var payload = pending.Rent(total);
        var at = 0;
        for (var i = 0; i < mapping.Pieces.Count; i++)
        {
            var (start, length, isHole) = mapping.Pieces[i];
            var isLast = i == mapping.Pieces.Count - 1;
            var shown = (ulong)(start - export.Offset);
            if (isHole)
            {
                at += ReplyFrames.WriteHole(payload.Memory.Span[at..], style, pending.Header, shown, (int)length, isLast);
                continue;
            }

            at += ReplyFrames.WriteDataHead(payload.Memory.Span[at..], style, pending.Header, shown, (int)length, isLast);
            await export.Edge.ReadAsync(start, payload.Memory.Slice(at, (int)length)).ConfigureAwait(false);
            at += (int)length;
        }

        pending.ChunkBytes = at;
    }

    /// <summary>The pieces of one read; used by one request at a time.</summary>
    private sealed class Mapping(BlockEdge edge)
    {
        private readonly MappingCursor cursor = new(edge);
        private bool hasHole;

        /// <summary>The pieces, in order, without a gap.</summary>
        public List<(long Start, long Length, bool IsHole)> Pieces { get; } = [];

        /// <summary>Where the data of a range without holes end, or later data of the same kind.</summary>
        public long DataEnd { get; private set; }

        /// <summary>Cuts a range into pieces.</summary>
        /// <returns>False if none is a hole, or the mapping cannot be read: reading the data then says what is wrong.</returns>
        public async ValueTask<bool> FindHolesAsync(long offset, long length)
        {
            try
            {
                await CutAsync(offset, length).ConfigureAwait(false);
                return hasHole;
            }
            catch (BlockException)
            {
                DataEnd = offset;
                return false;
            }
        }

        private async ValueTask CutAsync(long offset, long length)
        {
            Pieces.Clear();
            hasHole = false;
            cursor.Begin();
            var end = offset + length;
            var farEnd = Math.Max(end, Math.Min(edge.Length, end + LookAhead));
            DataEnd = offset;
            var at = offset;
            for (var asked = 0; at < end && asked < MaxPieces; asked++)
            {
                if (!cursor.TryMove(at))
                {
                    await cursor.MoveAsync(at, farEnd).ConfigureAwait(false);
                }

                var next = Math.Min(cursor.End, end);
                var isZero = (cursor.Allocation & NbdAllocation.Zero) != 0;
                DataEnd = isZero ? DataEnd : cursor.End;
                Add(at, next - at, isZero && next - at >= LeastHole);
                at = next;
            }

            if (at < end)
            {
                Add(at, end - at, isHole: false);
            }
        }

        private void Add(long start, long length, bool isHole)
        {
            hasHole |= isHole;
            if (Pieces.Count > 0 && Pieces[^1].IsHole == isHole)
            {
                Pieces[^1] = Pieces[^1] with { Length = Pieces[^1].Length + length };
                return;
            }

            Pieces.Add((start, length, isHole));
        }
    }

    private sealed record KnownData(long Start, long End, long SeenAt);
}
