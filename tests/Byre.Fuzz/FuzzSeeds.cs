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
        "cluster_size=4k,encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
        "cluster_size=16k,extended_l2=on,encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
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
                var isEncrypted = option.Contains("luks", StringComparison.Ordinal);
                string[] secret = isEncrypted ? ["--object", "secret,id=s,data=abc"] : [];
                string[] disk = isEncrypted ? ["--image-opts", "driver=qcow2,file.filename=d.qcow2,encrypt.key-secret=s"] : ["d.qcow2"];
                await CreateAsync(directory, [.. secret, "-o", option, "d.qcow2", "200k"]);
                var write = new List<string>([.. secret, .. disk]);
                foreach (var command in new[] { "write -P 1 0 5k", "write -P 2 64k 20k", "write -z 100k 32k", "write -P 3 180k 20k", "discard 66k 2k" })
                {
                    write.InsertRange(0, ["-c", command]);
                }

                await ExternalTool.RunAsync("qemu-io", directory, [.. write]);
                var snapshots = !option.Contains("bits=1", StringComparison.Ordinal);
                if (snapshots)
                {
                    await ExternalTool.RunAsync("qemu-img", directory, ["snapshot", .. secret, "-c", "one", .. disk]);
                    await ExternalTool.RunAsync("qemu-io", directory, ["-c", "write -P 4 4k 8k", .. secret, .. disk]);
                }

                if (!option.Contains("0.10", StringComparison.Ordinal))
                {
                    await ExternalTool.RunAsync("qemu-img", directory, ["bitmap", .. secret, "--add", .. disk, "bits"]);
                }

                Images.Add((option, await File.ReadAllBytesAsync(Path.Combine(directory, "d.qcow2"))));
                if (isEncrypted)
                {
                    continue; // nothing is compressed and encrypted
                }

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

    /// <summary>On a busy machine qemu-img cannot always measure how many iterations a key takes.</summary>
    private static async Task CreateAsync(string directory, string[] words)
    {
        for (var tries = 0; (await ExternalTool.TryRunAsync("qemu-img", directory, ["create", "-q", "-f", "qcow2", .. words])).Status != 0; tries++)
        {
            Assert.True(tries < 50, $"qemu-img makes no image: {string.Join(' ', words)}");
        }
    }
}
