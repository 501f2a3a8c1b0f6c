using System.Text.RegularExpressions;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Interop.Create;

public sealed class Qcow2CreateTests : IDisposable
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);
    private readonly DirectoryInfo directory = Directory.CreateTempSubdirectory("byre-create");

    public static TheoryData<string, long> Images => new()
    {
        { "", 1 << 20 },
        { "", 0 },
        { "", 1000 },
        { "version=2", 600 << 20 },
        { "cluster=9", 5_000_000 },
        { "cluster=9", 128L << 30 },
        { "cluster=21", 3L << 40 },
        { "refcount=1", 10 << 20 },
        { "refcount=64,cluster=12", 1L << 40 },
        { "extended,zstd,lazy", 1 << 30 },
        { "metadata", 7L << 30 },
        { "metadata", 100L << 30 },
        { "metadata,version=2,cluster=12", 100 << 20 },
        { "metadata,extended", 70 << 20 },
        { "metadata,refcount=1,cluster=9", 20 << 20 },
        { "falloc", 3 << 20 },
        { "full", 3_000_000 },
        { "full,extended", 3_000_000 },
    };

    public void Dispose() => directory.Delete(recursive: true);

    [Theory]
    [MemberData(nameof(Images))]
    public async Task QEMU_finds_nothing_wrong_with_a_new_image(string wishes, long size)
    {
        var path = Path.Combine(directory.FullName, "x.qcow2");
        var options = Options(wishes, size);
        await CreateAsync(path, options);
        Assert.Contains("No errors were found", await QemuImg.RunAsync("check", "-f", "qcow2", path), StringComparison.Ordinal);
        var info = await QemuImg.RunAsync("info", "-f", "qcow2", path);
        Assert.Contains($"({(size + 511) / 512 * 512} bytes)", info, StringComparison.Ordinal);
        Assert.Contains($"cluster_size: {1 << options.ClusterBits}\n", info, StringComparison.Ordinal);
        if (options.Preallocation == Preallocation.Full)
        {
            var blocks = await RunStatAsync(path);
            Assert.True(blocks * 512 >= new FileInfo(path).Length, $"{blocks} blocks of {new FileInfo(path).Length} bytes");
        }
    }

    [Theory]
    [InlineData("", 0)]
    [InlineData("", 1000)]
    [InlineData("", 1 << 20)]
    [InlineData("", 1L << 40)]
    [InlineData("cluster=9", 100000)]
    [InlineData("cluster=9", 100L << 30)]
    [InlineData("cluster=21", 1L << 50)]
    [InlineData("cluster=12,refcount=64", 123456789012)]
    [InlineData("cluster=16,refcount=1", 123456789012)]
    [InlineData("extended", 123456789012)]
    [InlineData("full", 123456789)]
    [InlineData("falloc", 123456789)]
    [InlineData("metadata", 123456789)]
    [InlineData("version=2", 123456789)]
    public async Task Measures_are_those_of_QEMU(string wishes, long size)
    {
        var options = Options(wishes, size);
        var text = await QemuImg.RunAsync(["measure", "-O", "qcow2", "-o", QemuOptions(options), "--size", $"{size}"]);
        var numbers = Regex.Matches(text, "[0-9]+").Select(m => long.Parse(m.Value)).ToArray();
        var measure = Qcow2Measure.ForEmpty(options);
        Assert.Equal(numbers, new[] { measure.Required, measure.FullyAllocated });
    }

    [Theory]
    [InlineData("", 1_000_000)]
    [InlineData("cluster=9", 1_000_000)]
    [InlineData("cluster=21", 9_000_000)]
    [InlineData("full", 1_000_000)]
    public async Task Measures_of_data_are_those_of_QEMU(string wishes, long size)
    {
        var path = Path.Combine(directory.FullName, "x.raw");
        await using (var file = File.Create(path))
        {
            file.SetLength(size);
            foreach (var at in new[] { 300_000, 310_000, 500_000, 999_000 })
            {
                file.Position = at;
                file.WriteByte(1);
                file.Flush();
            }
        }

        var options = Options(wishes, size);
        long data = 0;
        await using (var edge = new BlockEdge(
            FileNode.Open(new FileNodeOptions { Path = path, ReadOnly = true }), ChildRole.None, Everything))
        {
            for (var at = 0L; at < size;)
            {
                var extents = new ExtentList();
                extents.Reset(at, size - at);
                await edge.GetExtentsAsync(extents, ExtentPrecision.Exact);
                for (var i = 0; i < extents.Count; i++)
                {
                    var extent = extents.Items[i];
                    if (extent.State == ExtentState.Data && extent.End > at)
                    {
                        var start = Math.Max(at, extent.Start);
                        data += Qcow2Measure.DataOf(1 << options.ClusterBits, start, extent.End - start, out at);
                    }
                }

                at = Math.Max(at, extents.End);
            }
        }

        var text = await QemuImg.RunAsync(["measure", "-O", "qcow2", "-o", QemuOptions(options), "-f", "raw", path]);
        var numbers = Regex.Matches(text, "[0-9]+").Select(m => long.Parse(m.Value)).ToArray();
        var measure = Qcow2Measure.ForData(options, data);
        Assert.Equal(numbers, new[] { measure.Required, measure.FullyAllocated });
    }

    private static string QemuOptions(Qcow2CreateOptions o) =>
        $"cluster_size={1 << o.ClusterBits},refcount_bits={o.RefcountBits},extended_l2={(o.ExtendedL2 ? "on" : "off")},"
        + $"compat={(o.Version == 2 ? "0.10" : "1.1")},preallocation={o.Preallocation.ToString().ToLowerInvariant()}";

    private static Qcow2CreateOptions Options(string wishes, long size)
    {
        var options = new Qcow2CreateOptions { Size = size };
        foreach (var wish in wishes.Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var value = wish.Contains('=', StringComparison.Ordinal) ? int.Parse(wish.Split('=')[1]) : 0;
            options = wish.Split('=')[0] switch
            {
                "version" => options with { Version = value },
                "cluster" => options with { ClusterBits = value },
                "refcount" => options with { RefcountBits = value },
                "extended" => options with { ExtendedL2 = true },
                "zstd" => options with { CompressionType = Qcow2CompressionType.Zstd },
                "lazy" => options with { LazyRefcounts = true },
                _ => options with { Preallocation = Enum.Parse<Preallocation>(wish, ignoreCase: true) },
            };
        }

        return options;
    }

    private static async Task CreateAsync(string path, Qcow2CreateOptions options)
    {
        await File.WriteAllBytesAsync(path, []);
        await using var file = new BlockEdge(
            FileNode.Open(new FileNodeOptions { Path = path }), ChildRole.None, Everything);
        await Qcow2Creator.CreateAsync(file, null, options);
    }

    private static async Task<long> RunStatAsync(string path)
    {
        using var process = System.Diagnostics.Process.Start(
            new System.Diagnostics.ProcessStartInfo("stat", ["-c", "%b", path]) { RedirectStandardOutput = true })!;
        var text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return long.Parse(text);
    }
}
