using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>
/// Serves copies of the same images with Byre and with the real qemu-nbd, lets one script loose on each, and compares what it
/// writes. The script finds the URI in $uri, the socket in $socket, the export's name in $export and the test's files in
/// $scripts; it runs in the folder with the images.
/// </summary>
internal sealed class NbdComparison : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-nbd-").FullName;

    /// <summary>Runs a script of bash with both servers and asserts that it writes the same.</summary>
    /// <param name="image">The name of a <see cref="ServedImage"/>.</param>
    /// <param name="script">The script; it must not fail as a whole (its exit status is 0).</param>
    /// <param name="ours">Makes what it writes with Byre comparable, where Byre tells more; null: nothing to do.</param>
    /// <returns>What it wrote with Byre.</returns>
    public async Task<string> SameAsync(string image, string script, Func<string, string>? ours = null)
    {
        var both = await Task.WhenAll(
            RunAsync(await NbdServers.OursAsync(), "ours", ServedImage.Find(image), script),
            RunAsync(NbdServers.Real, "real", ServedImage.Find(image), script));
        Assert.Equal(both[1], ours is null ? both[0] : ours(both[0]));
        return both[0];
    }

    /// <summary>Runs a script of bash with Byre's server alone.</summary>
    /// <returns>What it wrote.</returns>
    public async Task<string> OursAsync(string image, string script) =>
        await RunAsync(await NbdServers.OursAsync(), "ours", ServedImage.Find(image), script);

    /// <summary>Runs a script of bash with one server.</summary>
    /// <returns>What it wrote to standard output and error, with the folder's path as DIR.</returns>
    public async Task<string> RunAsync(string program, string name, ServedImage image, string script)
    {
        var own = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        await ServedImage.CopyAllAsync(own);
        string written;
        await using (var server = await NbdServerProcess.StartAsync(program, own, image.Arguments(own)))
        {
            var words = $"exec 2>&1; PATH=$PATH:/usr/sbin:/sbin; uri='{server.Uri(image.Export)}' socket='{server.Socket}' export='{image.Export}' "
                + $"scripts='{Path.Combine(AppContext.BaseDirectory, "Nbd")}' qemu10='{Cases.Qemu10TheoryAttribute.Directory}'\n";
            written = await ExternalTool.RunAsync("bash", own, "-c", words + script);
            Assert.Equal(0, await server.StopAsync());
            Assert.All(
                server.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries),
                line => Assert.Contains("warning: ", line, StringComparison.Ordinal));
        }

        return written.Replace(own, "DIR", StringComparison.Ordinal);
    }

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(folder, recursive: true);
}
