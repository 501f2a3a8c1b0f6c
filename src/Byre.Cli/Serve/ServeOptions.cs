using System.Text;
using Byre.Cli.Img;
using Byre.Nbd.Protocol;
using Byre.Storage;

namespace Byre.Cli.Serve;

/// <summary>What a command line asks a server for, checked as far as that needs nothing but the command line.</summary>
internal sealed record ServeOptions
{
    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("version", 'V'), new("port", 'p', ImgValue.Required), new("bind", 'b', ImgValue.Required),
        new("socket", 'k', ImgValue.Required), new("shared", 'e', ImgValue.Required), new("persistent", 't'), new("verbose", 'v'),
        new("export-name", 'x', ImgValue.Required), new("description", 'D', ImgValue.Required), new("handshake-limit", '\0', ImgValue.Required),
        new("offset", 'o', ImgValue.Required), new("allocation-depth", 'A'), new("bitmap", 'B', ImgValue.Required), new("list", 'L'),
        new("object", '\0', ImgValue.Required), new("tls-creds", '\0', ImgValue.Required), new("tls-authz", '\0', ImgValue.Required),
        new("tls-hostname", '\0', ImgValue.Required), new("trace", 'T', ImgValue.Required), new("fork", '\0'),
        new("pid-file", '\0', ImgValue.Required), new("selinux-label", '\0', ImgValue.Required), new("connect", 'c', ImgValue.Required),
        new("disconnect", 'd'), new("format", 'f', ImgValue.Required), new("read-only", 'r'), new("snapshot", 's'),
        new("load-snapshot", 'l', ImgValue.Required), new("nocache", 'n'), new("cache", '\0', ImgValue.Required),
        new("aio", '\0', ImgValue.Required), new("discard", '\0', ImgValue.Required), new("detect-zeroes", '\0', ImgValue.Required),
        new("image-opts", '\0'), new("export", '\0', ImgValue.Required), new("stdio", '\0'), new("max-connections", '\0', ImgValue.Required),
        new("align-contexts", '\0'),
    ];

    private static readonly string[] OfServers =
    [
        "export-name", "description", "offset", "allocation-depth", "bitmap", "format", "load-snapshot", "nocache", "cache", "aio", "discard",
        "export", "stdio", "connect", "disconnect", "fork",
    ];

    /// <summary>Exports in the order of the command line, the file's own first.</summary>
    public IReadOnlyList<ServedExport> Exports { get; private init; } = [];

    /// <summary>-L: another server's exports are listed; nothing is served.</summary>
    public bool IsList { get; private init; }

    /// <summary>-d: the device to disconnect, or null.</summary>
    public string? Disconnect { get; private init; }

    /// <summary>-c: the kernel's device, or null.</summary>
    public string? Device { get; private init; }

    /// <summary>-k: the path of a Unix domain socket, or null.</summary>
    public string? SocketPath { get; private init; }

    /// <summary>-b, or null.</summary>
    public string? Bind { get; private init; }

    /// <summary>-p, or null; 0 lets the system choose.</summary>
    public int? Port { get; private init; }

    /// <summary>The only client is on standard input and output.</summary>
    public bool IsStdio { get; private init; }

    /// <summary>How many clients at a time; 0 for any number.</summary>
    public int MaxConnections { get; private init; }

    /// <summary>The server goes on when its last client has left.</summary>
    public bool IsPersistent { get; private init; }

    /// <summary>-v.</summary>
    public bool IsVerbose { get; private init; }

    /// <summary>How long a handshake may take; zero for no limit.</summary>
    public TimeSpan HandshakeLimit { get; private init; }

    /// <summary>All contexts of a reply get extents of the same lengths.</summary>
    public bool AlignContexts { get; private init; }

    /// <summary>Definitions of objects.</summary>
    public IReadOnlyList<string> Objects { get; private init; } = [];

    /// <summary>The id of TLS credentials, or null.</summary>
    public string? TlsCredentials { get; private init; }

    /// <summary>The id of rules that say who may connect, or null.</summary>
    public string? TlsAuthorization { get; private init; }

    /// <summary>With -L: the name that the server's certificate must be for, or null.</summary>
    public string? TlsHostName { get; private init; }

    /// <summary>The server runs in the background.</summary>
    public bool IsForked { get; private init; }

    /// <summary>Where the server's process id is written, or null.</summary>
    public string? PidFile { get; private init; }

    /// <summary>The label that the listening socket gets, or null.</summary>
    public string? SelinuxLabel { get; private init; }

    /// <summary>"-T help".</summary>
    public bool WantsTraceNames { get; private init; }

    /// <summary>--version.</summary>
    public bool WantsVersion { get; private init; }

    /// <summary>Reads a command line.</summary>
    /// <exception cref="ImgHelpWanted">--help is in it.</exception>
    /// <exception cref="ImgUsageException">An option is unknown or lacks its value, or there are too few or too many words.</exception>
    /// <exception cref="ImgFailure">A value is not valid, or options exclude each other.</exception>
    public static ServeOptions Parse(IReadOnlyList<string> words)
    {
        var given = ImgArguments.Parse(words, Specs);
        if (given.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        CheckCombinations(given);
        var isOther = given.Has("list") || given.Has("disconnect") || given.Has("version") || given.Value("trace") == "help";
        var clients = Number(given, "shared", 1);
        return new ServeOptions
        {
            Exports = isOther ? [] : ReadExports(given),
            IsList = given.Has("list"),
            Disconnect = given.Has("disconnect") ? Only(given, "name the device to disconnect") : null,
            Device = given.Value("connect"),
            SocketPath = given.Value("socket"),
            Bind = given.Value("bind"),
            Port = given.Value("port") is { } port ? ServicePort.Parse(port, given.Has("list") ? 1 : 0) : null,
            IsStdio = given.Has("stdio"),
            MaxConnections = Number(given, "max-connections", clients),
            IsPersistent = given.Has("persistent"),
            IsVerbose = given.Has("verbose"),
            HandshakeLimit = TimeSpan.FromSeconds(Number(given, "handshake-limit", 10)),
            AlignContexts = given.Has("align-contexts"),
            Objects = given.Values("object"),
            TlsCredentials = given.Value("tls-creds"),
            TlsAuthorization = given.Value("tls-authz"),
            TlsHostName = given.Value("tls-hostname"),
            IsForked = given.Has("fork"),
            PidFile = given.Value("pid-file"),
            SelinuxLabel = given.Value("selinux-label"),
            WantsTraceNames = given.Value("trace") == "help",
            WantsVersion = given.Has("version"),
        };
    }

    private static void CheckCombinations(ImgArguments given)
    {
        if (given.Value("socket") is { } path && !path.StartsWith('/'))
        {
            throw new ImgFailure($"the socket's path must be absolute, not '{path}'");
        }

        if (given.Has("list"))
        {
            if (given.Operands.Count > 0)
            {
                throw new ImgFailure("--list shows another server's exports, and takes no file");
            }

            if (Array.Find(OfServers, given.Has) is { } option)
            {
                throw new ImgFailure($"--list and --{option} exclude each other: --list serves nothing");
            }
        }

        foreach (var option in (ReadOnlySpan<string>)["tls-authz", "tls-hostname"])
        {
            if (given.Has(option) && !given.Has("tls-creds"))
            {
                throw new ImgFailure($"--{option} needs --tls-creds");
            }
        }

        if (given.Has("tls-hostname") && !given.Has("list"))
        {
            throw new ImgFailure("--tls-hostname is for --list: a server does not check names");
        }

        if (given.Has("tls-creds") && given.Has("connect"))
        {
            throw new ImgFailure("--tls-creds and --connect exclude each other: the kernel knows no TLS");
        }

        if (given.Has("stdio"))
        {
            foreach (var option in (ReadOnlySpan<string>)["socket", "port", "bind", "fork", "connect", "persistent"])
            {
                if (given.Has(option))
                {
                    throw new ImgFailure($"--stdio and --{option} exclude each other: the client is at hand");
                }
            }
        }
    }

    private static List<ServedExport> ReadExports(ImgArguments given)
    {
        var common = CommonOf(given);
        var exports = new List<ServedExport>();
        if (given.Operands.Count > 1 || (given.Operands.Count == 0 && !given.Has("export")))
        {
            throw new ImgUsageException(given.Operands.Count == 0 ? "name a file" : "there is more than one file (--export serves several)");
        }

        if (given.Operands.Count == 1)
        {
            exports.Add((common with
            {
                FileName = given.Operands[0],
                IsImageOptions = given.Has("image-opts"),
                Name = CheckText(given.Value("export-name") ?? "", "export name"),
                Description = given.Value("description") is { } text ? CheckText(text, "description") : null,
                Offset = given.Value("offset") is { } offset ? OffsetOf(offset) : 0,
                LoadedSnapshot = given.Value("load-snapshot") is { } snapshot ? SnapshotSource.Parse(snapshot) : null,
                ReadOnly = given.Has("read-only") || given.Has("load-snapshot"),
                Bitmaps = given.Values("bitmap").Distinct().ToList(),
            }).Checked());
        }
        else if (Array.Find<string>(["export-name", "description", "offset", "load-snapshot", "bitmap", "image-opts"], given.Has) is { } option)
        {
            throw new ImgFailure($"--{option} is for the file that is named by itself, and there is none: put it into --export");
        }

        exports.AddRange(given.Values("export").Select(text => ServedExport.Parse(text, common)));
        if (exports.GroupBy(e => e.Name, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
        {
            throw new ImgFailure($"there are two exports with the name '{twice.Key}'");
        }

        return exports;
    }

    /// <summary>What holds for all exports, unless they say something else.</summary>
    private static ServedExport CommonOf(ImgArguments given)
    {
        if (given.Has("image-opts") && given.Has("format"))
        {
            throw new ImgFailure("--image-opts and --format exclude each other");
        }

        if (given.Options.Count(o => o.Name is "cache" or "nocache") > 1)
        {
            throw new ImgFailure("--nocache and --cache can be given only once");
        }

        var cache = given.Has("nocache") ? CacheMode.None : ImgImages.Cache(given.Value("cache"));
        switch (given.Value("aio"))
        {
            case null or "threads" or "io_uring":
                break;
            case "native" when cache.Direct:
                break;
            case "native":
                throw new ImgFailure("--aio=native needs a cache mode that goes around the page cache: none or directsync");
            case var other:
                throw new ImgFailure($"there is no mode '{other}' of --aio: it is threads, native or io_uring");
        }

        return new ServedExport
        {
            Format = given.Value("format"),
            ReadOnly = given.Has("read-only"),
            IsTemporary = given.Has("snapshot"),
            Cache = cache,
            DiscardUnmap = ServedExport.Discards(given.Value("discard") ?? "ignore"),
            DetectZeroes = given.Value("detect-zeroes"),
            HasDepth = given.Has("allocation-depth"),
        }.Checked();
    }

    /// <summary>A text as it goes over the wire: at most 4096 bytes.</summary>
    /// <exception cref="ImgFailure">It is longer.</exception>
    public static string CheckText(string text, string what) => Encoding.UTF8.GetByteCount(text) <= NbdLimits.MaxString
        ? text
        : throw new ImgFailure($"the {what} is longer than {NbdLimits.MaxString} bytes");

    private static int Number(ImgArguments given, string option, int otherwise)
    {
        if (given.Value(option) is not { } text)
        {
            return otherwise;
        }

        return PlainNumber.TryParse(text, out var number) && number <= int.MaxValue
            ? (int)number
            : throw new ImgFailure($"invalid --{option} '{text}': it is a number from 0 to {int.MaxValue}");
    }

    /// <summary>Without a suffix a number as C programs read it: 010 is 8, as for qemu-nbd.</summary>
    private static long OffsetOf(string text) =>
        text.TrimStart() is ['0', _, ..] && PlainNumber.TryParse(text, out var number) ? number : ImgSize.Parse(text, "offset");

    private static string Only(ImgArguments given, string otherwise) =>
        given.Operands.Count == 1 ? given.Operands[0] : throw new ImgUsageException(otherwise);
}
