using Byre.Cli.Io;

namespace Byre.Cli.Img;

/// <summary>What bench is to do, checked as far as it can be without opening the image.</summary>
internal sealed record BenchOptions
{
    /// <summary>How many requests.</summary>
    public required int Count { get; init; }

    /// <summary>How many of them at the same time.</summary>
    public required int Depth { get; init; }

    /// <summary>Where the first one begins, in bytes.</summary>
    public required long Offset { get; init; }

    /// <summary>Bytes of each.</summary>
    public required int Size { get; init; }

    /// <summary>How far each begins behind the one before, in bytes.</summary>
    public required int Step { get; init; }

    /// <summary>They write.</summary>
    public required bool Writes { get; init; }

    /// <summary>What they write.</summary>
    public required byte Pattern { get; init; }

    /// <summary>A flush follows every so many requests; 0: none does.</summary>
    public required int FlushInterval { get; init; }

    /// <summary>A flush does not wait until the requests before it are done.</summary>
    public required bool NoDrain { get; init; }

    /// <summary>Reads them out of the arguments.</summary>
    /// <exception cref="ImgFailure">A value is out of its range, or two contradict each other.</exception>
    public static BenchOptions Parse(ImgArguments arguments)
    {
        var size = Size32(arguments, "buffer-size", 1, 4096);
        var step = Size32(arguments, "step-size", 0, 0);
        byte pattern = 0;
        if (arguments.Value("pattern") is { } text && !IoNumber.TryParsePattern(text, out pattern))
        {
            throw new ImgFailure($"Invalid pattern '{text}': it is a byte, 0 to 255");
        }

        var result = new BenchOptions
        {
            Count = Number(arguments, "count", 1, 75000),
            Depth = Number(arguments, "depth", 1, 64),
            Offset = arguments.Value("offset") is { } offset ? ImgSize.Parse(offset, "offset") : 0,
            Size = size,
            Step = step == 0 ? size : step,
            Writes = arguments.Has("write"),
            Pattern = pattern,
            FlushInterval = Number(arguments, "flush-interval", 0, 0),
            NoDrain = arguments.Has("no-drain"),
        };
        if (result is { Writes: false, FlushInterval: > 0 })
        {
            throw new ImgFailure("--flush-interval is for tests that write (-w)");
        }

        return result.FlushInterval > 0 && result.FlushInterval < result.Depth
            ? throw new ImgFailure($"The flush interval ({result.FlushInterval}) is at least the depth ({result.Depth})")
            : result;
    }

    private static int Size32(ImgArguments arguments, string name, int least, int otherwise) =>
        arguments.Value(name) is { } text ? (int)ImgSize.Parse(text, name, least, int.MaxValue) : otherwise;

    private static int Number(ImgArguments arguments, string name, int least, int otherwise)
    {
        if (arguments.Value(name) is not { } text)
        {
            return otherwise;
        }

        return IoNumber.TryParseInteger(text, out var value) && value >= least && value <= int.MaxValue
            ? (int)value
            : throw new ImgFailure($"Invalid {name} '{text}': it is a whole number from {least} to {int.MaxValue}");
    }
}
