using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Reads a table of entries of different lengths from its start to its end, a window at a time.</summary>
/// <param name="file">The image file.</param>
/// <param name="start">Where the table begins, in bytes of the file.</param>
/// <param name="limit">The most bytes it may have.</param>
/// <param name="what">As messages name it.</param>
internal sealed class TableWindow(BlockEdge file, long start, long limit, string what)
{
    /// <summary>Bytes that are read at once.</summary>
    public const int Size = 256 << 10;

    private readonly long end = start > long.MaxValue - limit ? long.MaxValue : start + limit;
    private byte[] window = [];
    private long windowAt = start;

    /// <summary>Where the next entry begins, in bytes of the file.</summary>
    public long At { get; private set; } = start;

    /// <summary>The table is not cut off before so many more bytes.</summary>
    public bool Has(int length) => Math.Min(file.Length, end) - At >= length;

    /// <summary>The next bytes, of which the last <paramref name="padding"/> may be missing.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Corrupt"/>: the table is cut off.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> PeekAsync(int length, int padding = 0)
    {
        var left = Math.Min(file.Length, end) - At;
        if (left < length - padding)
        {
            throw new BlockException(ErrorCode.Corrupt, $"{what} is cut off", file.Node.Name, At);
        }

        length = (int)Math.Min(length, left);
        if (At < windowAt || At + length > windowAt + window.Length)
        {
            var bytes = new byte[(int)Math.Min(left, Math.Max(Size, length))];
            await file.ReadAsync(At, bytes).ConfigureAwait(false);
            (window, windowAt) = (bytes, At);
        }

        return window.AsMemory((int)(At - windowAt), length);
    }

    /// <summary>Goes on to what follows.</summary>
    public void Skip(long length) => At += length;

    /// <summary>What messages call an image's file.</summary>
    public static string NameOf(BlockEdge file) => file.Node.FileName.Length != 0 ? file.Node.FileName : file.Node.Name;
}
