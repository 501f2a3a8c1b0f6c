namespace Byre.Cli;

/// <summary>Links by which the program is found under the names of the tools it stands in for.</summary>
internal static class Links
{
    /// <summary>The names, each with the applet it runs.</summary>
    public static IReadOnlyList<string> Names { get; } = ["qemu-img", .. Applet.All.Select(applet => applet.Link).OfType<string>()];

    /// <summary>Makes the links in a directory; those that are there and are links are made anew.</summary>
    /// <param name="directory">The directory, made if it is missing.</param>
    /// <param name="output">Told of each link.</param>
    /// <exception cref="IOException">A link cannot be made: a file that is no link is in its place, for one.</exception>
    public static void Install(string directory, TextWriter output)
    {
        if (directory.Length == 0 || directory[0] == '-')
        {
            throw new IOException($"install-links: '{directory}' is no name of a directory (see 'byre --help')");
        }

        var program = Lasting(Environment.ProcessPath ?? throw new IOException("Where this program lies cannot be told"));
        Directory.CreateDirectory(directory);
        foreach (var name in Names)
        {
            var path = Path.Combine(directory, name);
            var link = new FileInfo(path);
            if (link.LinkTarget is not null)
            {
                link.Delete();
            }
            else if (link.Exists || Directory.Exists(path))
            {
                throw new IOException($"'{path}' is there and is no link: it is left as it is");
            }

            File.CreateSymbolicLink(path, program);
            output.WriteLine($"{path} -> {program}");
        }
    }

    /// <summary>
    /// A path to the program that outlives its next build: './byre' puts each build into a directory of its own and removes
    /// old ones, and a link beside it that has the name of the program leads to the newest.
    /// </summary>
    private static string Lasting(string program)
    {
        program = new FileInfo(program).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? program;
        if (Path.GetDirectoryName(program) is not { } build || Path.GetDirectoryName(build) is not { } above)
        {
            return program;
        }

        var current = new DirectoryInfo(Path.Combine(above, Path.GetFileName(program)));
        return current.LinkTarget is not null && current.ResolveLinkTarget(returnFinalTarget: true)?.FullName == build
            ? Path.Combine(current.FullName, Path.GetFileName(program))
            : program;
    }
}
