using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// How a header that is longer than a sector is replaced so that one sector decides which one counts. The table of the
/// features' names, which nobody needs, comes last of the extensions: the new header is first written without it, so that its
/// extensions are in the first sector, and completed when it counts. The backing file's name goes where neither header has
/// anything.
/// </summary>
/// <remarks>
/// Extensions that leave no room in the first sector (a very long name of a data file) are written in one piece with it: there
/// an interrupted write may show.
/// </remarks>
internal sealed class HeaderRewrite
{
    private const int Sector = 512;

    private readonly int oldEnd;
    private int nameAt; // 0 where it is in the first sector
    private int nameLength;
    private bool isOnePiece;

    private HeaderRewrite(byte[] switched, byte[] completed, int extensionsEnd, int oldEnd)
    {
        this.oldEnd = oldEnd;
        Switched = switched;
        Completed = completed;
        ExtensionsEnd = extensionsEnd;
    }

    /// <summary>The header cluster, of which the first sector is the one that makes the change.</summary>
    public byte[] Switched { get; }

    /// <summary>The header cluster in the end.</summary>
    public byte[] Completed { get; }

    /// <summary>Where the extensions end in the end.</summary>
    public int ExtensionsEnd { get; }

    /// <summary>Plans the change.</summary>
    /// <param name="old">The first sector as it is.</param>
    /// <param name="oldExtensionsEnd">Where the extensions end as they are.</param>
    /// <param name="next">The header that is to be.</param>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: it does not fit in a cluster.</exception>
    public static HeaderRewrite Plan(ReadOnlySpan<byte> old, int oldExtensionsEnd, Qcow2Header next)
    {
        var oldEnd = Math.Max(oldExtensionsEnd, HeaderWriter.NameEnd(old));
        var (completed, end) = HeaderWriter.Compose(next, withFeatureNames: true, nameAt: null);
        if (Math.Max(end, HeaderWriter.NameEnd(completed)) <= Sector)
        {
            return new HeaderRewrite(completed, completed, end, oldEnd);
        }

        var (switched, switchedEnd) = HeaderWriter.Compose(next, withFeatureNames: false, nameAt: null);
        if (switchedEnd > Sector)
        {
            return new HeaderRewrite(completed, completed, end, oldEnd) { isOnePiece = true };
        }

        if (next.BackingFile is not { Length: > 0 })
        {
            return new HeaderRewrite(switched, completed, end, oldEnd);
        }

        var nameAt = PlaceName(old, Math.Max(Math.Max(end, oldExtensionsEnd), Sector), completed, next.ClusterSize);
        if (nameAt is not { } at)
        {
            return new HeaderRewrite(completed, completed, end, oldEnd) { isOnePiece = true };
        }

        (completed, _) = HeaderWriter.Compose(next, withFeatureNames: true, at);
        (switched, _) = HeaderWriter.Compose(next, withFeatureNames: false, at);
        return new HeaderRewrite(switched, completed, end, oldEnd) { nameAt = at, nameLength = HeaderWriter.NameEnd(completed) - at };
    }

    /// <summary>Writes what the new header names and the old one does not use.</summary>
    public async ValueTask PrepareAsync(BlockEdge file)
    {
        if (nameAt > 0)
        {
            await file.WriteAsync(nameAt, Completed.AsMemory(nameAt, nameLength)).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Makes the change.</summary>
    public async ValueTask SwitchAsync(BlockEdge file)
    {
        var length = isOnePiece ? Math.Max(ExtensionsEnd, HeaderWriter.NameEnd(Completed)) : Sector;
        await file.WriteAsync(0, Switched.AsMemory(0, length)).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>Adds what was left out.</summary>
    public async ValueTask CompleteAsync(BlockEdge file)
    {
        // What the old header had behind the new one is cleared as well.
        var end = Math.Min(Completed.Length, Math.Max(ExtensionsEnd, oldEnd));
        if (end > Sector)
        {
            await file.WriteAsync(Sector, Completed.AsMemory(Sector, end - Sector)).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }

        if (!ReferenceEquals(Switched, Completed))
        {
            await file.WriteAsync(0, Completed.AsMemory(0, Sector)).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }
    }

    /// <summary>A place for the name behind the extensions of both headers, and not over the old name.</summary>
    private static int? PlaceName(ReadOnlySpan<byte> old, int from, ReadOnlySpan<byte> composed, int clusterSize)
    {
        var length = (int)HeaderFields.U32(composed, HeaderFields.BackingLength);
        var oldStart = (long)HeaderFields.U64(old, HeaderFields.BackingOffset);
        var oldEnd = oldStart + HeaderFields.U32(old, HeaderFields.BackingLength);
        var at = from < oldEnd && oldStart < from + (long)length ? oldEnd : from;
        return at + length <= clusterSize ? (int)at : null;
    }
}
