using System.Diagnostics;

namespace Byre.Interop.Nbd;

/// <summary>The servers of others that Byre's client is tried with, and Byre's own.</summary>
internal static class PeerServer
{
    /// <summary>Bytes of the disk that each serves; no multiple of a large block.</summary>
    public const int DiskLength = (6 << 20) + (7 * 65536);

    /// <summary>What each of nbdkit's is started with.</summary>
    private static readonly Dictionary<string, string[]> Nbdkit = new(StringComparer.Ordinal)
    {
        ["memory"] = ["memory", "SIZE"],
        ["file"] = ["file", "disk.raw"],
        ["without structured replies"] = ["--no-sr", "file", "disk.raw"],
        ["blocks of 4 KiB to 256 KiB"] =
        [
            "--filter=blocksize-policy", "memory", "SIZE", "blocksize-minimum=4096", "blocksize-preferred=65536", "blocksize-maximum=262144",
            "blocksize-error-policy=error",
        ],
        ["a slow one"] = ["--filter=delay", "memory", "SIZE", "rdelay=2ms", "wdelay=2ms"],
        ["without extents"] = ["--filter=noextents", "file", "disk.raw"],
        ["one request at a time"] = ["--filter=noparallel", "file", "disk.raw", "serialize=requests"],
        ["one connection"] = ["--filter=multi-conn", "file", "disk.raw", "multi-conn-mode=disable"],
        ["without zeroes"] = ["--filter=nozero", "memory", "SIZE"],
        ["without FUA"] = ["--filter=fua", "file", "disk.raw", "fuamode=discard"],
        ["with every write forced"] = ["--filter=fua", "file", "disk.raw", "fuamode=force"],
        ["with FUA by flushes"] = ["--filter=fua", "file", "disk.raw", "fuamode=emulate"],
        ["without several connections in step"] = ["--filter=multi-conn", "file", "disk.raw", "multi-conn-mode=emulate"],
        ["zeroes by writing"] = ["--filter=nozero", "file", "disk.raw", "zeromode=emulate"],
        ["blocks parted by the server"] = ["--filter=blocksize", "file", "disk.raw", "minblock=4k", "maxdata=64k", "maxlen=1M"],
        ["copy on write"] = ["--filter=cow", "file", "disk.raw"],
        ["a single thread"] = ["-t", "1", "memory", "SIZE"],
    };

    /// <summary>The names of all that keep what is written, without QEMU 10's: "newer qemu-nbd raw", "newer qemu-nbd qcow2".</summary>
    public static IEnumerable<string> Names =>
        ["qemu-nbd raw", "qemu-nbd qcow2", "nbd-server", "byre raw", "byre qcow2", .. Nbdkit.Keys.Select(name => "nbdkit: " + name)];

    /// <summary>Starts one, with an empty disk.</summary>
    /// <returns>The server and its export's name.</returns>
    public static async Task<(NbdServerProcess Server, string Export)> StartAsync(string name, string folder)
    {
        await using (var disk = File.Create(Path.Combine(folder, "disk.raw")))
        {
            disk.SetLength(DiskLength);
        }

        if (name.StartsWith("nbdkit: ", StringComparison.Ordinal))
        {
            var arguments = Nbdkit[name["nbdkit: ".Length..]].Select(a => a == "SIZE" ? DiskLength.ToString(System.Globalization.CultureInfo.InvariantCulture) : a);
            return (await NbdkitAsync(folder, arguments), "");
        }

        if (name == "nbd-server")
        {
            return (await StartNbdServerAsync(folder), "disk");
        }

        var program = name.StartsWith("byre", StringComparison.Ordinal) ? await NbdServers.OursAsync()
            : name.StartsWith("newer", StringComparison.Ordinal) ? NbdServers.Real : NbdServers.Older;

        var format = name.EndsWith("qcow2", StringComparison.Ordinal) ? "qcow2" : "raw";
        if (format == "qcow2")
        {
            await TestTools.ExternalTool.RunAsync("qemu-img", folder, "create", "-q", "-f", "qcow2", "disk.qcow2", $"{DiskLength}");
        }

        return (await NbdServerProcess.StartAsync(program, folder, Qemu(folder, format, "disk." + format)), "");
    }

    /// <summary>
    /// Starts nbdkit. It ends with the thread that starts it (PR_SET_PDEATHSIG), and those of the runtime come and go: a shell
    /// that stays is its parent.
    /// </summary>
    public static Task<NbdServerProcess> NbdkitAsync(string folder, params IEnumerable<string> arguments) => NbdServerProcess.StartAsync(
        "bash", folder, ["-c", "nbdkit \"$@\" & p=$!; trap 'kill $p; wait $p; exit $?' TERM; wait $p", "nbdkit", "-f", "-U", NbdServerProcess.SocketIn(folder), .. arguments]);

    /// <summary>The arguments of a qemu-nbd that serves one image to many.</summary>
    public static IReadOnlyList<string> Qemu(string folder, string format, string image, params string[] more) =>
        ["-t", "-e", "16", "-k", NbdServerProcess.SocketIn(folder), "-f", format, "--discard=unmap", .. more, image];

    /// <summary>It serves one client and ends: in the foreground nbd-server does no more.</summary>
    public static bool IsForOne(string name) => name == "nbd-server";

    private static async Task<NbdServerProcess> StartNbdServerAsync(string folder)
    {
        var socket = NbdServerProcess.SocketIn(folder);
        await File.WriteAllTextAsync(
            Path.Combine(folder, "config"),
            $"""
            [generic]
                unixsock = {socket}
                allowlist = true
            [disk]
                exportname = {Path.Combine(folder, "disk.raw")}
                flush = true
                fua = true
                trim = true

            """);
        var program = File.Exists("/usr/sbin/nbd-server") ? "/usr/sbin/nbd-server" : "nbd-server";
        return await NbdServerProcess.StartAsync(
            new ProcessStartInfo(program, ["-d", "-C", Path.Combine(folder, "config"), "-p", Path.Combine(folder, "pid")]) { WorkingDirectory = folder }, socket);
    }
}
