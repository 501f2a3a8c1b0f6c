using System.Globalization;
using System.Numerics;
using Byre.Cli.Img;
using Byre.Cli.Io;

namespace Byre.Cli.Copy;

/// <summary>What a command line asks for.</summary>
internal sealed record CopyRequest
{
    /// <summary>The program's help, after its name.</summary>
    public const string Usage = """
        [OPTIONS] SOURCE DESTINATION

        Copies the bytes of a disk. SOURCE and DESTINATION are each one of
          FILE or DEVICE      its raw bytes; a file is made, or made anew
          a named pipe, or -  read to its end, or written from front to back
          URI                 nbd://, nbds://, nbd+unix://, nbds+unix://
          [ COMMAND ... ]     an NBD server that is started, and ended, for the copy
          json:{...}          an image as the image tool names it
          null:               as DESTINATION: what is written vanishes

          --allocated               zeroes take space in the destination
          -C, --connections N       connections to a server that allows several (default 4)
          --destination-is-zero     the destination reads as zeroes already
          --flush                   what is written is on stable storage at the end
          --no-extents              do not ask the source where it is zero
          -p, --progress[=FD]       show a bar, or write N/100 lines to a descriptor
          --queue-size N            bytes in flight at most (default 16 MiB)
          --request-size N          bytes of a request: a power of two, 4096 to 32 MiB
          -R, --requests N          requests in flight on a connection at most (default 64)
          -S, --sparse N            zeroes in blocks of N bytes are not written as data
                                    (default 4096; 0: data is not looked at)
          --synchronous             one request at a time, from front to back
          -T, --threads N           threads at most, each with one request in flight
          -v, --verbose             tell what is copied, and how

        What nbdcopy lacks:
          --verify                  read the destination back and compare it
          -f, --source-format FMT   the source is an image in this format
          -F, --target-format FMT   the destination is an image in this format, made before
          --image-opts              SOURCE is a list of options, not a name
          --target-image-opts       DESTINATION is a list of options, not a name
          -U, --force-share         open the source even if somebody else is writing it
          --object OBJDEF           define an object (a secret, credentials for TLS)

          --help, -V, --version

        """;

    // Before a word in brackets that looks like an option: no word of a command line can have it.
    private const char Hidden = '\0';

    private const int SmallestRequest = 4096;
    private const int GreatestRequest = 32 << 20;
    private const long SmallestSparse = 512;

    private static readonly ImgSpec[] Specs =
    [
        new("help", '\0'), new("allocated", '\0'), new("connections", 'C', ImgValue.Required), new("destination-is-zero", '\0'),
        new("target-is-zero", '\0'), new("flush", '\0'), new("no-extents", '\0'), new("progress", 'p', ImgValue.Optional),
        new("queue-size", '\0', ImgValue.Required), new("request-size", '\0', ImgValue.Required), new("requests", 'R', ImgValue.Required),
        new("sparse", 'S', ImgValue.Required), new("synchronous", '\0'), new("threads", 'T', ImgValue.Required), new("verbose", 'v'),
        new("version", 'V'), new("short-options", '\0'), new("long-options", '\0'), new("verify", '\0'),
        new("source-format", 'f', ImgValue.Required), new("target-format", 'F', ImgValue.Required), new("image-opts", '\0'),
        new("target-image-opts", '\0'), new("force-share", 'U'), new("object", '\0', ImgValue.Required),
    ];

    /// <summary>The options' names for a shell that completes them: the long ones, or the letters.</summary>
    public static IEnumerable<string> OptionNames(bool isLong) =>
        Specs.Where(s => isLong || s.Letter != '\0').Select(s => isLong ? "--" + s.Name : "-" + s.Letter).Order(StringComparer.Ordinal);

    /// <summary>Where from.</summary>
    public required CopyEnd Source { get; init; }

    /// <summary>Where to.</summary>
    public required CopyEnd Target { get; init; }

    /// <summary>Zeroes take space.</summary>
    public bool Allocated { get; init; }

    /// <summary>Connections to one server at most.</summary>
    public int Connections { get; init; } = 4;

    /// <summary>The target reads as zeroes.</summary>
    public bool TargetIsZero { get; init; }

    /// <summary>Flush at the end.</summary>
    public bool Flush { get; init; }

    /// <summary>Read everything.</summary>
    public bool NoExtents { get; init; }

    /// <summary>Progress is wanted.</summary>
    public bool Progress { get; init; }

    /// <summary>The descriptor it is written to; null for a bar.</summary>
    public int? ProgressDescriptor { get; init; }

    /// <summary>Bytes in flight at most.</summary>
    public long QueueSize { get; init; } = 16 << 20;

    /// <summary>Bytes of a request; null where nobody says.</summary>
    public int? RequestSize { get; init; }

    /// <summary>Requests in flight on a connection at most.</summary>
    public int Requests { get; init; } = 64;

    /// <summary>Zeroes are looked for in blocks of so many bytes; null where nobody says, 0: not at all.</summary>
    public long? Sparse { get; init; }

    /// <summary>One request at a time.</summary>
    public bool Synchronous { get; init; }

    /// <summary>Threads at most; 0 where nobody says.</summary>
    public int Threads { get; init; }

    /// <summary>Tell what is done.</summary>
    public bool Verbose { get; init; }

    /// <summary>Read back and compare.</summary>
    public bool Verify { get; init; }

    /// <summary>Open the source even if it is being written.</summary>
    public bool ForceShare { get; init; }

    /// <summary>The words behind --object.</summary>
    public required ImgArguments Arguments { get; init; }

    /// <summary>Parts the words. What stands in brackets belongs to the command there, also what looks like an option.</summary>
    /// <exception cref="ImgUsageException">An option is unknown, or its value is missing.</exception>
    public static ImgArguments Split(IReadOnlyList<string> words)
    {
        var hidden = new List<string>(words.Count);
        bool isInside = false, isLiteral = false;
        foreach (var word in words)
        {
            isInside = word == "[" || (isInside && word != "]");
            isLiteral |= word == "--" && !isInside;
            hidden.Add(isInside && !isLiteral && word.StartsWith('-') ? Hidden + word : word);
        }

        return ImgArguments.Parse(hidden, Specs);
    }

    /// <summary>Reads the options.</summary>
    /// <exception cref="ImgUsageException">The source or the target is missing, or there is more.</exception>
    /// <exception cref="ImgFailure">An option's value is not valid, or two exclude each other.</exception>
    public static CopyRequest Of(ImgArguments a)
    {
        var ends = CopyEnd.Parse([.. a.Operands.Select(word => word.TrimStart(Hidden))]) ?? throw new ImgUsageException("'[' has no ']'");
        if (ends.Count != 2)
        {
            throw new ImgUsageException("name a source and a destination");
        }

        if (ends.Exists(e => e.Kind == CopyEndKind.Path && e.Name.Length == 0))
        {
            throw new ImgFailure("'' is no name of a file");
        }

        var request = new CopyRequest
        {
            Arguments = a,
            Source = Formatted(ends[0], a.Value("source-format"), a.Has("image-opts"), "-f", "--image-opts"),
            Target = Formatted(ends[1], a.Value("target-format"), a.Has("target-image-opts"), "-F", "--target-image-opts"),
            Allocated = a.Has("allocated"),
            Connections = (int)Number(a, "connections", 4, 1, 1 << 16),
            TargetIsZero = a.Has("destination-is-zero") || a.Has("target-is-zero"),
            Flush = a.Has("flush"),
            NoExtents = a.Has("no-extents"),
            Progress = a.Has("progress"),
            ProgressDescriptor = a.Value("progress") is null ? null : (int)Number(a, "progress", 0, 0, int.MaxValue),
            QueueSize = Number(a, "queue-size", 16 << 20, 0, long.MaxValue),
            RequestSize = a.Has("request-size") ? PowerOfTwo(a, "request-size", SmallestRequest, GreatestRequest) : null,
            Requests = (int)Number(a, "requests", 64, 1, 1 << 20),
            Sparse = !a.Has("sparse") ? null : a.Value("sparse") == "0" ? 0 : PowerOfTwo(a, "sparse", SmallestSparse, GreatestRequest),
            Synchronous = a.Has("synchronous"),
            Threads = (int)Number(a, "threads", 0, 0, 1 << 20),
            Verbose = a.Has("verbose"),
            Verify = a.Has("verify"),
            ForceShare = a.Has("force-share"),
        };
        return request.Target.Kind == CopyEndKind.Null && request.Verify
            ? throw new ImgFailure("--verify: what is written to null: cannot be read back")
            : request;
    }

    private static CopyEnd Formatted(CopyEnd end, string? format, bool isOptions, string formatOption, string listOption)
    {
        if (format is null && !isOptions)
        {
            return end;
        }

        if (format is not null && isOptions)
        {
            throw new ImgFailure($"{listOption} and {formatOption} exclude each other");
        }

        return end.Kind is CopyEndKind.Path or CopyEndKind.Image
            ? end with { Kind = isOptions ? CopyEndKind.Image : end.Kind, Format = format, IsOptions = isOptions }
            : throw new ImgFailure($"{(isOptions ? listOption : formatOption)}: '{end.Title}' is no image");
    }

    private static long Number(ImgArguments a, string name, long standard, long minimum, long maximum)
    {
        if (a.Value(name) is not { } text)
        {
            return standard;
        }

        return IoNumber.ParseSize(text, out var value) == IoNumberError.None && value >= minimum && value <= maximum
            ? value
            : throw new ImgFailure(string.Create(CultureInfo.InvariantCulture, $"--{name}: '{text}' is no number from {minimum} to {maximum}"));
    }

    private static int PowerOfTwo(ImgArguments a, string name, long minimum, long maximum)
    {
        var value = Number(a, name, 0, 0, long.MaxValue);
        return BitOperations.IsPow2(value) && value >= minimum && value <= maximum
            ? (int)value
            : throw new ImgFailure(string.Create(
                CultureInfo.InvariantCulture, $"--{name}: '{a.Value(name)}' is no power of two from {minimum} to {maximum}"));
    }
}
