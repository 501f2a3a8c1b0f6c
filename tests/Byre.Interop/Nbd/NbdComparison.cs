using System.Text.RegularExpressions;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>
/// Serves copies of the same images with Byre and with the real qemu-nbd, lets one script loose on each, and compares what it
/// writes. The script finds the URI in $uri, the socket in $socket, the export's name in $export and the test's files in
/// $scripts; it runs in the folder with the images, which QEMU's tools open with the words in $local. $qemu10 is empty or the
/// folder of QEMU 10; $specification is --specification for Byre, where it keeps to the specification more closely.
/// </summary>
internal sealed partial class NbdComparison : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-nbd-").FullName;

    /// <summary>Runs a script of bash with both servers and asserts that it writes the same.</summary>
    /// <param name="image">The name of a <see cref="ServedImage"/>.</param>
    /// <param name="script">The script; it must not fail as a whole (its exit status is 0).</param>
    /// <param name="after">A script for when the server has ended, which is compared in the same way.</param>
    /// <param name="ours">Makes what it writes with Byre comparable, where Byre tells more; null: nothing to do.</param>
    /// <returns>What it wrote with Byre.</returns>
    public async Task<string> SameAsync(string image, string script, string after = "", Func<string, string>? ours = null)
    {
        var both = await Task.WhenAll(
            RunAsync(await NbdServers.OursAsync(), "ours", ServedImage.Find(image), script, after),
            RunAsync(NbdServers.Real, "real", ServedImage.Find(image), script, after));
        var told = Bitmaps().Replace(both[0], "${before}coarse${between}fine"); // qemu-nbd names the last bitmap first
        AssertSame(ours is null ? told : ours(told), both[1]);
        return both[0];
    }

    [GeneratedRegex(@"(?<before>qemu:dirty-bitmap:)fine(?<between>[""',]*\s+[""']?qemu:dirty-bitmap:)coarse")]
    private static partial Regex Bitmaps();

    /// <summary>Tells the first line that differs with what comes before it.</summary>
    private static void AssertSame(string ours, string real)
    {
        var (our, their) = (ours.Split('\n'), real.Split('\n'));
        var same = our.Zip(their).TakeWhile(pair => pair.First == pair.Second).Count();
        if (same < our.Length || same < their.Length)
        {
            var before = our[Math.Max(0, same - 4)..same].Select(line => "  " + line);
            Assert.Fail($"line {same + 1}:\n{string.Join('\n', before)}\nByre: {our.ElementAtOrDefault(same)}\nreal: {their.ElementAtOrDefault(same)}");
        }
    }

    /// <summary>Runs a script of bash with Byre's server alone.</summary>
    /// <returns>What it wrote.</returns>
    public async Task<string> OursAsync(string image, string script, string after = "") =>
        await RunAsync(await NbdServers.OursAsync(), "ours", ServedImage.Find(image), script, after);

    /// <summary>Runs a script of bash with one server.</summary>
    /// <returns>What it wrote to standard output and error, with the folder's path as DIR.</returns>
    public async Task<string> RunAsync(string program, string name, ServedImage image, string script, string after = "")
    {
        var own = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        await ServedImage.CopyAllAsync(own);
        string written;
        var variables = $"exec 2>&1; export PYTHONDONTWRITEBYTECODE=1 PATH=$PATH:/usr/sbin:/sbin; export='{image.Export}' local='{image.Local}' "
            + $"scripts='{Path.Combine(AppContext.BaseDirectory, "Nbd")}' qemu10='{Cases.Qemu10TheoryAttribute.Directory}'\n";
        var specification = name == "ours" && !NbdServers.AreOursReplaced ? "--specification" : "";
        await using (var server = await NbdServerProcess.StartAsync(program, own, image.Arguments(own)))
        {
            written = await BashAsync(own, $"{variables} uri='{server.Uri(image.Export)}' socket='{server.Socket}' specification={specification}\n{script}");
            Assert.Equal(0, await server.StopAsync());
            Assert.All(
                name == "real" ? [] : server.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries),
                line => Assert.Contains("warning: ", line, StringComparison.Ordinal));
        }

        written += await BashAsync(own, variables + after);
        return written.Replace(own, "DIR", StringComparison.Ordinal);
    }

    private static async Task<string> BashAsync(string folder, string script)
    {
        var (status, output, error) = await ExternalTool.TryRunAsync("bash", folder, ["-c", script]);
        Assert.True(status == 0, $"the script ends with {status}: {output}{error}");
        return output;
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(folder, recursive: true);
}
