using System.Text;
using Byre.Cli.Img;
using Byre.Nodes;

namespace Byre.Cli;

/// <summary>Selects the applet, by the name the program was called by or by the first word.</summary>
internal static class Program
{
    private const string QemuVersion = "10.0.2";

    private static async Task<int> Main(string[] args)
    {
        var program = "byre";
        try
        {
            var invoked = Path.GetFileName(InvokedName());
            if (invoked == "qemu-img")
            {
                program = invoked;
                return await RunImgAsync(args, program).ConfigureAwait(false);
            }

            if (Applet.OfLink(invoked) is { } applet)
            {
                program = invoked;
                return await applet.StartAsync(args, program).ConfigureAwait(false);
            }

            return await RunByreAsync(args).ConfigureAwait(false);
        }
        catch (Exception e) when (e is BlockException or IOException or UnauthorizedAccessException)
        {
            Tell($"{program}: {e.Message.ReplaceLineEndings(" ")}");
            return 1;
        }
        catch (Exception e)
        {
            // A fault of ours, not of what was asked: one line, and never a status that reads as success.
            Tell($"{program}: internal error: {e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")}");
            return 1;
        }
    }

    private static async Task<int> RunByreAsync(string[] args)
    {
        switch (args)
        {
            case ["img", ..]:
                return await RunImgAsync(args[1..], "byre").ConfigureAwait(false);
            case ["install-links", "-h" or "--help"]:
                Print($"usage: byre install-links DIR\nMakes links to this program in DIR, named {LinkNames("and")}; links that are there are made anew.\n");
                return 0;
            case ["install-links", var directory]:
                Links.Install(directory, Console.Out);
                return 0;
            case ["install-links", ..]:
                return Complain("byre", "install-links takes one directory");
            case ["-V" or "--version", ..]:
                Print($"byre {Product.Version}\n");
                return 0;
            case [] or ["-h" or "--help" or "help", ..]:
                Print(ByreHelp());
                return args.Length == 0 ? 1 : 0;
            default:
                return Applet.OfName(args[0]) is { } applet
                    ? await applet.StartAsync(args[1..], $"byre {applet.Name}").ConfigureAwait(false)
                    : await RunImgAsync(args, "byre").ConfigureAwait(false);
        }
    }

    /// <summary>qemu-img's own options, then the verb.</summary>
    private static async Task<int> RunImgAsync(string[] args, string program)
    {
        var at = 0;
        for (; at < args.Length && args[at].StartsWith('-'); at++)
        {
            switch (args[at])
            {
                case "-h" or "--help":
                    Print(ImgHelp(program));
                    return 0;
                case "-V" or "--version":
                    Print($"qemu-img version {QemuVersion} (Byre {Product.Version})\nA drop-in for QEMU's disk image utility\n");
                    return 0;
                case "-T" or "--trace" when at + 1 < args.Length:
                    at++; // what QEMU would trace does not exist here
                    break;
                case var word when word.StartsWith("--trace=", StringComparison.Ordinal) || (word.StartsWith("-T", StringComparison.Ordinal) && word.Length > 2):
                    break;
                default:
                    return Complain(program, $"unknown option '{args[at]}'");
            }
        }

        if (at == args.Length)
        {
            return Complain(program, "name a command");
        }

        if (ImgApplet.Find(args[at]) is { } verb)
        {
            return await ImgProgram.RunAsync(verb, args[(at + 1)..], program).ConfigureAwait(false);
        }

        return Complain(program, $"there is no command '{args[at]}'{Guess(args[at], program)}");
    }

    private static string Guess(string word, string program)
    {
        IEnumerable<string> names = ImgApplet.Verbs.Select(v => v.Name);
        names = program == "byre" ? names.Concat(Applet.All.Select(applet => applet.Name)).Append("install-links") : names;
        var nearest = names.MinBy(name => Distance(word, name));
        return nearest is not null && Distance(word, nearest) <= 2 ? $": did you mean '{nearest}'?" : "";
    }

    /// <summary>How many letters must be changed, added or left out.</summary>
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var above = row[j];
                row[j] = Math.Min(Math.Min(above, row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[b.Length];
    }

    private static int Complain(string program, string message)
    {
        Tell($"{program}: {message} (see '{program} --help')");
        return 1;
    }

    private static string VerbList()
    {
        var text = new StringBuilder();
        foreach (var verb in ImgApplet.Verbs)
        {
            AddLine(text, verb.Name, verb.Summary);
        }

        return text.ToString();
    }

    private static string AppletList()
    {
        var text = new StringBuilder();
        foreach (var applet in Applet.All)
        {
            AddLine(text, applet.Name, applet.Summary + (applet.Link is { } link && link != applet.Name ? $" (as {link})" : ""));
        }

        AddLine(text, "install-links", "make links to this program in a directory, named as the tools it stands in for");
        return text.ToString();
    }

    private static void AddLine(StringBuilder text, string name, string summary) =>
        text.Append("  ").Append(name.PadRight(15)).Append(summary).Append('\n');

    private static string ByreHelp() =>
        $"byre {Product.Version}: copy-on-write disk images\n\nUsage: byre VERB [OPTIONS] ...\n\n{VerbList()}"
        + AppletList() + '\n'
        + $"'byre VERB --help' tells more. Called through a link named {LinkNames("or")} it behaves as these.\n";

    private static string LinkNames(string last) => string.Join(", ", Links.Names.SkipLast(1)) + $" {last} {Links.Names[^1]}";

    private static string ImgHelp(string program) =>
        $"{(program == "byre" ? $"byre {Product.Version}" : $"qemu-img version {QemuVersion} (Byre {Product.Version})")}\n\n"
        + $"Usage: {program} [-h | -V | -T TRACE] COMMAND [OPTIONS] ...\n\n{VerbList()}\n"
        + $"'{program} COMMAND --help' tells more.\n"
        + $"Supported formats: {string.Join(' ', Blockdev.FormatRegistry.Names)}\n";

    private static void Tell(string line)
    {
        using var errors = new StandardError();
        errors.WriteLine(line);
    }

    private static void Print(string text) => Console.Out.Write(text);

    /// <summary>The name the program was called by; the runtime only tells the name of the program's file.</summary>
    private static string InvokedName()
    {
        try
        {
            // Its first word; a call by a longer path than this is no link's.
            using var file = File.OpenHandle("/proc/self/cmdline");
            Span<byte> head = stackalloc byte[4096];
            head = head[..RandomAccess.Read(file, head, 0)];
            var end = head.IndexOf((byte)0);
            return Encoding.UTF8.GetString(end < 0 ? head : head[..end]);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Environment.GetCommandLineArgs()[0];
        }
    }
}
