using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>A range of a chain in the words of qemu-img's map.</summary>
/// <param name="Start">First byte.</param>
/// <param name="Length">Bytes; 0 only where nothing was asked about.</param>
/// <param name="Depth">0 for the image itself, 1 for its backing file, ...</param>
/// <param name="Present">A layer says something: data or zeroes.</param>
/// <param name="Zero">Reads as zeroes.</param>
/// <param name="Data">Bytes are stored for it, as far as the layer's own tables know.</param>
/// <param name="Compressed">They are stored compressed.</param>
/// <param name="Offset">Where it lies in <paramref name="File"/>, or -1.</param>
/// <param name="File">The file that it lies in, or null.</param>
internal readonly record struct BlockStatus(
    long Start, long Length, int Depth, bool Present, bool Zero, bool Data, bool Compressed, long Offset, BlockNode? File)
{
    /// <summary>The first byte after it.</summary>
    public long End => Start + Length;

    /// <summary>The two are one range: the same answer, and the next bytes of the same file.</summary>
    public bool Continues(in BlockStatus before) =>
        Start == before.End && Depth == before.Depth && Present == before.Present && Zero == before.Zero && Data == before.Data
        && Compressed == before.Compressed && ReferenceEquals(File, before.File)
        && (Offset < 0 ? before.Offset < 0 : before.Offset >= 0 && before.Offset + before.Length == Offset);

    /// <summary>The part up to <paramref name="end"/>.</summary>
    public BlockStatus Until(long end) => this with { Length = Math.Min(End, end) - Start };

    /// <summary>The part from <paramref name="start"/> on.</summary>
    public BlockStatus From(long start) => this with
    {
        Start = start,
        Length = End - start,
        Offset = Offset < 0 ? -1 : Offset + (start - Start),
    };
}
