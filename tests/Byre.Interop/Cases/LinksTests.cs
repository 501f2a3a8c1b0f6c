using Byre.TestTools;

namespace Byre.Interop.Cases;

/// <summary>`byre install-links`, and what its links lead to.</summary>
public sealed class LinksTests : IDisposable
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");

    private readonly string folder = Directory.CreateTempSubdirectory("byre-install-links-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task The_links_lead_to_the_newest_build_also_when_the_build_that_made_them_is_gone()
    {
        // As './byre' lays it out: each build in a directory of its own, and a link to the newest.
        var build = Directory.CreateDirectory(Path.Combine(folder, "out-1")).FullName;
        await ExternalTool.RunAsync("bash", AppContext.BaseDirectory, "-c", $"cp Byre.Cli *.dll *.json '{build}'");
        File.CreateSymbolicLink(Path.Combine(folder, "Byre.Cli"), "out-1");

        await ExternalTool.RunAsync(Path.Combine(build, "Byre.Cli"), folder, "install-links", "links");

        foreach (var name in new[] { "qemu-img", "qemu-io", "qemu-nbd", "nbdcopy", "nbdinfo", "nbddump" })
        {
            Assert.Equal(Path.Combine(folder, "Byre.Cli", "Byre.Cli"), new FileInfo(Path.Combine(folder, "links", name)).LinkTarget);
        }
    }

    [Theory]
    [InlineData("--help", 0)]
    [InlineData("--force", 1)]
    [InlineData("", 1)]
    public async Task A_word_that_is_no_directory_makes_none(string word, int status)
    {
        var (ended, _, error) = await ExternalTool.TryRunAsync(Program, folder, ["install-links", word]);

        Assert.Equal(status, ended);
        Assert.Equal(status, error.Count(c => c == '\n'));
        Assert.Empty(Directory.GetFileSystemEntries(folder));
    }

    [Fact]
    public async Task A_file_or_directory_in_the_place_of_a_link_is_left_as_it_is()
    {
        Directory.CreateDirectory(Path.Combine(folder, "qemu-img"));

        var (status, _, error) = await ExternalTool.TryRunAsync(Program, folder, ["install-links", folder]);

        Assert.Equal(1, status);
        Assert.EndsWith("is there and is no link: it is left as it is\n", error, StringComparison.Ordinal);
    }
}
