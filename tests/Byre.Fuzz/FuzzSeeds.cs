using Byre.TestTools;

namespace Byre.Fuzz;

/// <summary>Small, valid images of many kinds, made by QEMU's tools, for the fuzzer to damage.</summary>
public sealed class FuzzSeeds : IAsyncLifetime
{
    private static readonly string[] Options =
    [
        "cluster_size=512", "cluster_size=4k", "cluster_size=64k", "compat=0.10,cluster_size=512", "cluster_size=16k,extended_l2=on",
        "cluster_size=512,refcount_bits=1", "cluster_size=512,refcount_bits=64", "cluster_size=4k,compression_type=zstd",
        "cluster_size=4k,lazy_refcounts=on", "cluster_size=512,preallocation=metadata",
    ];

    /// <summary>The images.</summary>
    internal List<(string Name, byte[] Image)> Images { get; } = [];

    public async Task InitializeAsync()
    {
        var directory = Directory.CreateTempSubdirectory("byre-fuzz").FullName;
        try
        {
            foreach (var option in Options)
            {
                await ExternalTool.RunAsync("qemu-img", directory, "create", "-q", "-f", "qcow2", "-o", option, "d.qcow2", "200k");
                var write = new List<string> { "d.qcow2" };
                foreach (var command in new[] { "write -P 1 0 5k", "write -P 2 64k 20k", "write -z 100k 32k", "write -P 3 180k 20k", "discard 66k 2k" })
                {
                    write.InsertRange(0, ["-c", command]);
                }

                await ExternalTool.RunAsync("qemu-io", directory, [.. write]);
                var snapshots = !option.Contains("bits=1", StringComparison.Ordinal);
                if (snapshots)
                {
                    await ExternalTool.RunAsync("qemu-img", directory, "snapshot", "-c", "one", "d.qcow2");
                    await ExternalTool.RunAsync("qemu-io", directory, "-c", "write -P 4 4k 8k", "d.qcow2");
                }

                if (!option.Contains("0.10", StringComparison.Ordinal))
                {
                    await ExternalTool.RunAsync("qemu-img", directory, "bitmap", "--add", "d.qcow2", "bits");
                }

                Images.Add((option, await File.ReadAllBytesAsync(Path.Combine(directory, "d.qcow2"))));
                await ExternalTool.RunAsync("qemu-img", directory, "convert", "-c", "-O", "qcow2", "-o", option.Replace(",preallocation=metadata", "", StringComparison.Ordinal), "d.qcow2", "c.qcow2");
                Images.Add((option + " compressed", await File.ReadAllBytesAsync(Path.Combine(directory, "c.qcow2"))));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    public Task DisposeAsync() => Task.CompletedTask;
}
