using Byre.Cli.Io;

namespace Byre.Cli.Img;

/// <summary>The operands of dd: "if=", "of=", "bs=", "count=" and "skip=".</summary>
internal sealed record DdOperands
{
    private const long GreatestBlock = int.MaxValue;

    /// <summary>The image that is read.</summary>
    public string? Input { get; private init; }

    /// <summary>The image that is made.</summary>
    public string? Output { get; private init; }

    /// <summary>Bytes of a block.</summary>
    public long BlockSize { get; private init; } = 512;

    /// <summary>Where the copy ends, in blocks from the input's front; null for all of it.</summary>
    public long? Count { get; private init; }

    /// <summary>Blocks that are left out at the input's front.</summary>
    public long Skip { get; private init; }

    /// <summary>Reads them; of two of a name the last one holds.</summary>
    /// <exception cref="ImgFailure">One is unknown, or has no value of its kind.</exception>
    public static DdOperands Parse(IReadOnlyList<string> words)
    {
        var result = new DdOperands();
        foreach (var word in words)
        {
            var equals = word.IndexOf('=', StringComparison.Ordinal);
            var value = word[(equals + 1)..];
            result = (equals < 0 ? word : word[..equals]) switch
            {
                "if" when equals > 0 => result with { Input = value },
                "of" when equals > 0 => result with { Output = value },
                "bs" when equals > 0 => result with { BlockSize = ImgSize.Parse(value, "bs", 1, GreatestBlock) },
                "count" when equals > 0 => result with { Count = Number(value, "count") },
                "skip" when equals > 0 => result with { Skip = Number(value, "skip") },
                var other => throw new ImgFailure($"dd has no operand '{other}'"),
            };
        }

        return result;
    }

    /// <summary>What is copied of an input, in bytes; an offset past the end where there is nothing so far behind its front.</summary>
    /// <param name="length">The input's length in bytes.</param>
    public (long Offset, long Length, bool IsBeyond) Of(long length)
    {
        // As qemu-img does it, what is skipped counts towards count.
        var end = Count is { } count ? (long)Int128.Min(length, (Int128)count * BlockSize) : length;
        var offset = (Int128)Skip * BlockSize;
        return offset > end ? (end, 0, true) : ((long)offset, end - (long)offset, false);
    }

    private static long Number(string text, string what) => IoNumber.TryParseInteger(text, out var value) && value >= 0
        ? value
        : throw new ImgFailure($"Invalid {what} '{text}': it is a whole number of blocks");
}
