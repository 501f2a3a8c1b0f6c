using System.Text.RegularExpressions;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>An image of images.sh and how it is served: the words are the server's arguments, after those of its socket.</summary>
/// <param name="Name">What tests call it.</param>
/// <param name="Words">Arguments, separated by blanks.</param>
/// <param name="IsWritable">Whether clients may write.</param>
internal sealed partial record ServedImage(string Name, string Words, bool IsWritable = true)
{
    private static readonly Lazy<Task<string>> Made = new(MakeAsync);

    /// <summary>All of them.</summary>
    public static IReadOnlyList<ServedImage> All { get; } =
    [
        new("raw", "-A -f raw raw.img"),
        new("raw-tail", "-A -f raw tail.img"),
        new("raw-nothing", "-f raw nothing.img"),
        new("raw-offset", "-A -o 1048576 -f raw raw.img"),
        new("raw-read-only", "-r -f raw raw.img", IsWritable: false),
        new("plain", "-A -f qcow2 plain.q"),
        new("chain", "-A -f qcow2 top.q"),
        new("chain-without-backing", "-A --image-opts driver=qcow2,backing=,file.filename=top.q"),
        new("over-raw", "-A -f qcow2 over-raw.q"),
        new("extended-l2", "-A -f qcow2 extended.q"),
        new("zstd", "-A -f qcow2 zstd.q"),
        new("deflate-offset-read-only", "-A -r -o 1024000 -f qcow2 deflate.q", IsWritable: false),
        new("luks", "-A --object secret,id=s,data=open --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=luks.q"),
        new("snapshot", "-A -r -l first -f qcow2 snapshots.q", IsWritable: false),
        new("external-data", "-A -f qcow2 external.q"),
        new("empty", "-A -f qcow2 empty.q"),
        new("huge", "-A -f qcow2 huge.q"),
        new("thread-chain", "-A -B b -f qcow2 chain.q"),
        new("thread-chain-without-backing", "-A -B b --image-opts driver=qcow2,backing=,file.filename=chain.q"),
        new("bitmaps", "-A -B fine -B coarse -f qcow2 bitmaps.q"),
        new("bitmap-of-backing", "-A -r -B coarse -x named -D described -f qcow2 over-bitmaps.q", IsWritable: false),
    ];

    /// <summary>The names of those that a test takes.</summary>
    public static TheoryData<string> Names(Func<ServedImage, bool>? taken = null) =>
        [.. All.Where(image => taken?.Invoke(image) != false).Select(image => image.Name)];

    /// <summary>The image of a name.</summary>
    public static ServedImage Find(string name) => All.Single(image => image.Name == name);

    /// <summary>The name of its export.</summary>
    public string Export => Words.Contains("-x named", StringComparison.Ordinal) ? "named" : "";

    /// <summary>The words with which QEMU's tools open the image itself, at the end of what they are given.</summary>
    public string Local => LocalWords().Match(Words).Value.Trim();

    /// <summary>The server's arguments in a folder with the images; up to eight clients at a time.</summary>
    public IEnumerable<string> Arguments(string folder) =>
        ["-t", "-e", "8", "-k", NbdServerProcess.SocketIn(folder), .. Words.Split(' ')];

    /// <summary>Copies all images into an empty folder.</summary>
    public static async Task CopyAllAsync(string folder) =>
        await ExternalTool.RunAsync("cp", folder, "-a", "--sparse=always", await Made.Value + "/.", folder);

    private static async Task<string> MakeAsync()
    {
        var folder = Directory.CreateTempSubdirectory("byre-nbd-images-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        await ExternalTool.RunAsync("bash", folder, Path.Combine(AppContext.BaseDirectory, "Nbd", "images.sh"));
        return folder;
    }

    [GeneratedRegex(@"( --object \S+)?( --image-opts \S+| -f \S+ \S+)$")]
    private static partial Regex LocalWords();
}
