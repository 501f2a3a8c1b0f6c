using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd.Tools;

/// <summary>Runs a script with libnbd's tools, and with Byre under their names, and asserts that it writes the same.</summary>
internal static class ToolComparison
{
    // same TOOL WORDS ...: what it writes to standard output, and its exit status; of what it complains only that it does.
    private const string Head = """
        set -u; export LC_ALL=C.UTF-8
        same() {
            "$@" >out 2>err; status=$?
            echo "= $* = $status"; cat out
            if [ $status = 1 ] && [ "${lines:-}" ] && [ "$(wc -l <err)" != 1 ]; then echo "not one line:"; cat err; fi
        }
        # serve SOCKET SERVER WORDS ...: in the background, until the script ends; nbdkit and qemu-nbd listen before they go there.
        servers=(); trap 'for p in "${servers[@]}"; do kill "$p" 2>/dev/null; done; wait' EXIT
        serve() {
            local socket=$1; shift
            "$@" >/dev/null 2>&1 & servers+=($!)
            for ((i = 0; i < 1200; i++)); do [ -S "$socket" ] && return; sleep 0.05; done
            echo "$* does not listen"; exit 1
        }

        """;

    /// <summary>Runs the script in two empty folders.</summary>
    /// <returns>What it wrote.</returns>
    public static async Task<string> SameAsync(string script)
    {
        var links = await ByreLinks.DirectoryAsync();
        var both = await Task.WhenAll(RunAsync(script, ""), RunAsync(script, $"{links}:"));
        Assert.Equal(both[0], both[1]);
        Assert.DoesNotContain("does not listen", both[1], StringComparison.Ordinal);
        return both[1];
    }

    /// <summary>Runs the script with Byre's tools alone, which complain with one line each.</summary>
    /// <returns>What it wrote.</returns>
    public static async Task<string> OursAsync(string script) => await RunAsync("lines=1\n" + script, $"{await ByreLinks.DirectoryAsync()}:");

    private static async Task<string> RunAsync(string script, string path)
    {
        var folder = Directory.CreateTempSubdirectory("byre-tool-").FullName;
        try
        {
            // QEMU's own tools make and serve the images: only libnbd's are exchanged.
            var tools = Directory.CreateDirectory(Path.Combine(folder, "tools")).FullName;
            foreach (var tool in new[] { "nbdinfo", "nbddump" })
            {
                if (path.Length > 0)
                {
                    File.CreateSymbolicLink(Path.Combine(tools, tool), Path.Combine(path.TrimEnd(':'), tool));
                }
            }

            var head = $"PATH={tools}:$PATH:/usr/sbin:/sbin; qemu_nbd='{NbdServers.Real}'\n";
            var output = await ExternalTool.RunAsync("bash", folder, "-c", head + Head + script);
            return output.Replace(folder, "DIR", StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
