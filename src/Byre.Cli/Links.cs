namespace Byre.Cli;

/// <summary>Links by which the program is found under the names of the tools it stands in for.</summary>
internal static class Links
{
    /// <summary>The names, each with the applet it runs.</summary>
    public static IReadOnlyList<string> Names { get; } = ["qemu-img", "qemu-io"];

    /// <summary>Makes the links in a directory; those that are there and are links are made anew.</summary>
    /// <param name="directory">The directory, made if it is missing.</param>
    /// <param name="output">Told of each link.</param>
    /// <exception cref="IOException">A link cannot be made: a file that is no link is in its place, for one.</exception>
    public static void Install(string directory, TextWriter output)
    {
        var program = Environment.ProcessPath ?? throw new IOException("Where this program lies cannot be told");
        program = new FileInfo(program).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? program;
        Directory.CreateDirectory(directory);
        foreach (var name in Names)
        {
            var path = Path.Combine(directory, name);
            var link = new FileInfo(path);
            if (link.LinkTarget is not null)
            {
                link.Delete();
            }
            else if (link.Exists)
            {
                throw new IOException($"'{path}' is there and is no link: it is left as it is");
            }

            File.CreateSymbolicLink(path, program);
            output.WriteLine($"{path} -> {program}");
        }
    }
}
