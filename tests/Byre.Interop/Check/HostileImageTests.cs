using Byre.Blockdev;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.Nodes;

namespace Byre.Interop.Check;

/// <summary>
/// Images that lie, through every verb that there is: an answer or one clear line that names the file, in bounded time and
/// memory; what only reads, and what is refused, leaves the file as it was.
/// </summary>
public sealed class HostileImageTests : IDisposable
{
    private const long MemoryLimit = 512L << 20;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(20);

    private static readonly string[] Reading =
    [
        "info IMAGE", "info --output=json IMAGE", "info --backing-chain IMAGE", "map IMAGE", "map --output=json IMAGE", "check IMAGE",
        "check --output=json --findings IMAGE", "compare IMAGE IMAGE", "compare IMAGE other.raw", "convert -O raw IMAGE out.raw",
        "convert -O qcow2 -c IMAGE out.qcow2", "measure -O qcow2 IMAGE", "dd if=IMAGE of=out.raw bs=64k", "bench -c 4 IMAGE", "snapshot -l IMAGE",
        "io -r -c map IMAGE", "io -r -c 'read 0 1M' IMAGE",
    ];

    private static readonly string[] Writing =
    [
        "resize IMAGE +1M", "resize --shrink IMAGE 1M", "snapshot -c new IMAGE", "snapshot -a one IMAGE", "snapshot -d one IMAGE",
        "bitmap --add IMAGE new", "bitmap --remove IMAGE first", "bitmap --clear IMAGE first", "bitmap --merge first IMAGE second", "commit IMAGE",
        "rebase -u -b '' IMAGE", "amend -o lazy_refcounts=on IMAGE", "amend -o compat=0.10 IMAGE", "bench -w -c 4 IMAGE",
        "io -c 'write 0 1M' IMAGE", "io -c 'discard 0 1M' IMAGE", "io -c 'write -z 3M 64k' IMAGE",
        "check -r leaks IMAGE", "check -r all IMAGE",
    ];

    private readonly string directory = Directory.CreateTempSubdirectory("byre-hostile").FullName;

    public static TheoryData<string> Names => [.. Lies.Keys];

    private static Dictionary<string, Action<TestImage>> Lies { get; } = new(StringComparer.Ordinal)
    {
        ["nothing"] = _ => { },
        ["cluster size"] = i => i.Bytes[23] = 40,
        ["disk size"] = i => i.Put(24, ulong.MaxValue),
        ["disk of exabytes"] = i => i.Put(24, 1ul << 62),
        ["version"] = i => i.Bytes[7] = 9,
        ["header length"] = i => Put32(i, 100, 0xfffffff0),
        ["extension length"] = i => Put32(i, 108 + 8, 0x7fffffff),
        ["endless extensions"] = i => i.Bytes.AsSpan(112, 3000).Fill(1),
        ["unknown feature"] = i => i.Put(72, 1ul << 40),
        ["encryption"] = i => Put32(i, 32, 2),
        ["backing name"] = i => (i.Bytes[14], i.Bytes[19]) = (0xff, 0xff),
        ["backing name with no end"] = i => (i.Bytes[15], i.Bytes[18], i.Bytes[19]) = (200, 0xff, 0xff),
        ["L1 length"] = i => Put32(i, 36, uint.MaxValue),
        ["L1 place"] = i => i.Put(40, 0x7fff_ffff_ffff_f000),
        ["L1 in the header"] = i => i.Put(40, 0),
        ["L1 is the refcount table"] = i => i.Put(40, (ulong)i.RefcountTable),
        ["L1 garbage"] = i => i.Bytes.AsSpan(i.L1, i.L1Entries * 8).Fill(0x5a),
        ["L1 loops to itself"] = i => Fill(i, i.L1, i.L1Entries, (1ul << 63) + (ulong)i.L1),
        ["L2 garbage"] = i => i.Bytes.AsSpan(i.L2Tables.First(), i.ClusterSize).Fill(0xa5),
        ["L2 compressed garbage"] = i => Fill(i, i.L2Tables.First(), i.ClusterSize / 8, 0x4fff_ffff_0000_1234),
        ["L2 all the same"] = i => Fill(i, i.L2Tables.First(), i.ClusterSize / 8, (1ul << 63) + (ulong)i.L2Tables.First()),
        ["refcount table place"] = i => i.Put(48, 12345),
        ["refcount table length"] = i => Put32(i, 56, uint.MaxValue),
        ["refcount table garbage"] = i => i.Bytes.AsSpan(i.RefcountTable, 64).Fill(0xee),
        ["refcount blocks in data"] = i => i.Put(i.RefcountTable, i.U64(i.L2Entries.First()) & 0x00ff_ffff_ffff_fe00),
        ["refcount garbage"] = i => i.Bytes.AsSpan(i.Blocks.First(), 300).Fill(0x77),
        ["refcount width"] = i => Put32(i, 96, 63),
        ["snapshot count"] = i => Put32(i, 60, uint.MaxValue),
        ["snapshot place"] = i => i.Put(64, 0x1234),
        ["snapshots behind the end"] = i => i.Put(64, 1ul << 50),
        ["snapshot garbage"] = i => i.Bytes.AsSpan(i.Snapshots, 200).Fill(0xff),
        ["snapshot extra data"] = i => Put32(i, i.Snapshots + 36, 0xfffffff0),
        ["snapshot L1"] = i => i.Put(i.Snapshots, 0x123),
        ["snapshot L1 length"] = i => Put32(i, i.Snapshots + 8, uint.MaxValue),
        ["snapshot without a name"] = i => i.Bytes.AsSpan(i.Snapshots + 12, 4).Clear(),
        ["bitmap extension"] = i => i.Bytes.AsSpan(Extension(i) + 8, 24).Fill(0xff),
        ["bitmap extension length"] = i => Put32(i, Extension(i) + 4, 8),
        ["bitmap directory"] = i => i.Bytes.AsSpan(i.BitmapDirectory.Offset, i.BitmapDirectory.Size).Fill(0xff),
        ["bitmap granularity"] = i => i.Bytes[i.BitmapDirectory.Offset + 17] = 200,
        ["bitmap name"] = i => i.Bytes.AsSpan(i.BitmapDirectory.Offset + 18, 2).Fill(0xff),
        ["bitmap extra data"] = i => Put32(i, i.BitmapDirectory.Offset + 20, 0xfffffff0),
        ["bitmap table"] = i => i.Put(i.BitmapDirectory.Offset, 0x7fff_ffff_ffff_f000),
        ["bitmap table entries"] = i => i.Bytes.AsSpan((int)i.U64(i.BitmapDirectory.Offset), 8).Fill(0x5a),
        ["cut in the tables"] = i => i.Bytes = i.Bytes[..(i.Bytes.Length / 2)],
        ["cut in the header"] = i => i.Bytes = i.Bytes[..90],
        ["the backing file is the image"] = BackedByItself,
    };

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [MemberData(nameof(Names))]
    public async Task A_lie_is_answered_or_refused_in_one_line(string name)
    {
        var path = Path.Combine(directory, "hostile.qcow2");
        var image = new TestImage(await SeedAsync());
        Lies[name](image);
        await File.WriteAllBytesAsync(Path.Combine(directory, "other.raw"), new byte[4 << 20]);
        List<string> wrong = [];
        var before = (await Outcome.OfByreAsync(await WriteAsync(path, image.Bytes))).Outcome;
        foreach (var line in Reading.Concat(Writing).Where(l => l.StartsWith("io ", StringComparison.Ordinal) || ImgApplet.Find(l.Split(' ')[0]) is not null))
        {
            await WriteAsync(path, image.Bytes);
            var allocated = GC.GetTotalAllocatedBytes();
            var clock = Stopwatch.StartNew();
            var (status, errors) = await Task.Run(() => RunAsync(Words(line, path))).WaitAsync(TimeSpan.FromMinutes(1));
            allocated = GC.GetTotalAllocatedBytes() - allocated;
            var told = errors.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l => !l.StartsWith("WARNING", StringComparison.Ordinal)).ToList();
            var checks = line.StartsWith("check", StringComparison.Ordinal);
            var refused = status != 0 && !(checks && status is 2 or 3) && !(line.StartsWith("compare", StringComparison.Ordinal) && status == 1);
            if (clock.Elapsed > TimeLimit || allocated > MemoryLimit)
            {
                wrong.Add($"{line}: {clock.Elapsed}, {allocated >> 20} MiB");
            }

            if ((status is < 0 or > 4 && status != 63) || (refused && !checks && told.Count != 1 && !line.StartsWith("io", StringComparison.Ordinal))
                || (refused && !errors.Contains("hostile.qcow2", StringComparison.Ordinal) && !line.StartsWith("io", StringComparison.Ordinal)))
            {
                wrong.Add($"{line}: status {status}: {errors}");
            }

            var after = await File.ReadAllBytesAsync(path);
            if (!after.AsSpan().SequenceEqual(image.Bytes) && (Reading.Contains(line) || (refused && (await Outcome.OfByreAsync(path)).Outcome.Corruptions > before.Corruptions)))
            {
                wrong.Add($"{line}: status {status}, and the file has changed: {errors}");
            }
        }

        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    private static async Task<(int Status, string Errors)> RunAsync(List<string> words)
    {
        using var output = new IoStdout(Stream.Null, isTerminal: false);
        using var errors = new StringWriter { NewLine = "\n" };
        var synchronized = TextWriter.Synchronized(errors);
        int status;
        if (words[0] == "io")
        {
            using var objects = new ObjectStore();
            var applet = new IoApplet(output, TextReader.Null, synchronized, "qemu-io", new IoOpener(synchronized.WriteLine, objects)) { Objects = objects };
            status = await applet.RunAsync(words[1..]);
        }
        else
        {
            var context = new ImgContext(output, () => synchronized, "qemu-img");
            status = await ImgApplet.RunAsync(context, ImgApplet.Find(words[0])!, words[1..]);
        }

        return (status, errors.ToString());
    }

    private List<string> Words(string line, string path)
    {
        var parts = line.Split('\'');
        List<string> words = [];
        for (var i = 0; i < parts.Length; i++)
        {
            words.AddRange(i % 2 == 1 ? [parts[i]] : parts[i].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        }

        return [.. words.Select(w => w.Replace("IMAGE", path, StringComparison.Ordinal)
            .Replace("out.", Path.Combine(directory, "out."), StringComparison.Ordinal).Replace("other.", Path.Combine(directory, "other."), StringComparison.Ordinal))];
    }

    private static async Task<string> WriteAsync(string path, byte[] bytes)
    {
        await File.WriteAllBytesAsync(path, bytes);
        return path;
    }

    private async Task<byte[]> SeedAsync()
    {
        var path = BaseImages.Make(directory, "snapshots");
        QemuImg.Must("qemu-img", "bitmap", "--add", path, "first");
        QemuImg.Must("qemu-img", "bitmap", "--add", "-g", "4096", path, "second");
        return await File.ReadAllBytesAsync(path);
    }

    private static void BackedByItself(TestImage image)
    {
        var name = Encoding.UTF8.GetBytes("hostile.qcow2");
        name.CopyTo(image.Bytes, 2000);
        image.Put(8, 2000);
        Put32(image, 16, (uint)name.Length);
    }

    private static int Extension(TestImage image) => image.Bytes.AsSpan(0, 1024).IndexOf((ReadOnlySpan<byte>)[0x23, 0x85, 0x28, 0x75]);

    private static void Fill(TestImage image, int at, int count, ulong value)
    {
        for (var i = 0; i < count; i++)
        {
            image.Put(at + (i * 8), value);
        }
    }

    private static void Put32(TestImage image, int at, uint value) => BinaryPrimitives.WriteUInt32BigEndian(image.Bytes.AsSpan(at), value);
}
