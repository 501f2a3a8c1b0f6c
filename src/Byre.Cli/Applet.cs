using Byre.Cli.Copy;
using Byre.Cli.Demo;
using Byre.Cli.Io;
using Byre.Cli.NbdDump;
using Byre.Cli.NbdInfo;
using Byre.Cli.Serve;

namespace Byre.Cli;

/// <summary>A program of its own within this one; the image verbs are in <see cref="Img.ImgApplet"/>.</summary>
/// <param name="Name">The first word that selects it.</param>
/// <param name="Link">The name of the tool that it stands in for, which selects it as well; or null.</param>
/// <param name="Summary">What it does, for the help.</param>
/// <param name="RunAsync">Runs it with its arguments and the name it is called by in messages; gives its exit status.</param>
internal sealed record Applet(string Name, string? Link, string Summary, Func<string[], string, Task<int>> RunAsync)
{
    /// <summary>All of them, in the order of the help.</summary>
    public static IReadOnlyList<Applet> All { get; } =
    [
        new("io", "qemu-io", "run commands on an image: read, write, discard, ...", IoProgram.RunAsync),
        new("serve", "qemu-nbd", "serve images over the NBD protocol", ServeProgram.RunAsync) { HeedsSignals = true },
        new("copy", "nbdcopy", "copy disks to and from files, NBD servers and pipes", CopyProgram.RunAsync) { HeedsSignals = true },
        new("nbdinfo", "nbdinfo", "show what an NBD server and its exports are", NbdInfoCommand.RunAsync),
        new("nbddump", "nbddump", "show the bytes of an NBD export", NbdDumpCommand.RunAsync),
        new("demo", null, "show what this program does, on a disk made for it", (arguments, _) => DemoCommand.RunAsync(arguments)),
    ];

    /// <summary>It does what is to be done when a signal ends it.</summary>
    public bool HeedsSignals { get; init; }

    /// <summary>Runs it as the program that it is.</summary>
    /// <param name="arguments">Its arguments.</param>
    /// <param name="program">The name it is called by in messages.</param>
    /// <returns>The exit status.</returns>
    public async Task<int> StartAsync(string[] arguments, string program)
    {
        using var tidyEnd = HeedsSignals ? null : new TidyEnd();
        return await RunAsync(arguments, program).ConfigureAwait(false);
    }

    /// <summary>The one that a tool's name selects, or null.</summary>
    public static Applet? OfLink(string link) => All.FirstOrDefault(applet => applet.Link == link);

    /// <summary>The one that a first word selects, or null.</summary>
    public static Applet? OfName(string name) => All.FirstOrDefault(applet => applet.Name == name);
}
