using System.Globalization;
using Byre.TestTools;

namespace Byre.Fuzz;

/// <summary>Small, valid images with everything that a check looks at, made by QEMU's tools, for the fuzzer to damage.</summary>
public sealed class RepairSeeds : IAsyncLifetime
{
    private static readonly string[] Options =
    [
        "cluster_size=4k", "cluster_size=64k", "compat=0.10,cluster_size=512", "cluster_size=16k,extended_l2=on", "cluster_size=512,refcount_bits=1",
        "cluster_size=512,refcount_bits=2", "cluster_size=1k,refcount_bits=4", "cluster_size=512,refcount_bits=8", "cluster_size=512,refcount_bits=32",
        "cluster_size=512,refcount_bits=64", "cluster_size=4k,compression_type=zstd", "cluster_size=512,preallocation=metadata",
        "cluster_size=4k,data_file=data.raw", "cluster_size=16k,extended_l2=on,data_file=data.raw",
        "cluster_size=4k,encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
        "cluster_size=512,refcount_bits=8,encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
    ];

    /// <summary>The images; with the content of the data file, where there is one.</summary>
    internal List<(string Name, byte[] Image, byte[]? DataFile)> Images { get; } = [];

    public async Task InitializeAsync()
    {
        var directory = Directory.CreateTempSubdirectory("byre-repair-fuzz").FullName;
        try
        {
            foreach (var option in Options)
            {
                await MakeAsync(directory, option);
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    public Task DisposeAsync() => Task.CompletedTask;

    private async Task MakeAsync(string directory, string option)
    {
        bool Has(string word) => option.Contains(word, StringComparison.Ordinal);
        string[] secret = Has("luks") ? ["--object", "secret,id=s,data=abc"] : [];
        string[] image = Has("luks") ? ["--image-opts", "driver=qcow2,file.filename=d.qcow2,encrypt.key-secret=s"] : ["d.qcow2"];
        string[] create = ["create", "-q", "-f", "qcow2", .. secret, "-o", option, "d.qcow2", "300k"];

        // On a busy machine qemu-img cannot always measure how many iterations the key takes.
        for (var tries = 0; (await ExternalTool.TryRunAsync("qemu-img", directory, create)).Status != 0; tries++)
        {
            Assert.True(tries < 50, $"qemu-img makes no image with {option}");
        }

        Task WriteAsync(params string[] commands) => ExternalTool.RunAsync(
            "qemu-io", directory, [.. secret, .. commands.SelectMany(c => new[] { "-c", c }), .. image]);
        await WriteAsync("write -P 1 0 5k", "write -P 2 64k 20k", "write -P 3 260k 40k");
        if (!Has("0.10"))
        {
            await WriteAsync("write -z 100k 32k");
        }

        if (!Has("data_file") && !Has("luks") && !Has("refcount_bits") && !Has("preallocation"))
        {
            await WriteAsync("write -c -P 5 128k 64k", "write -P 6 130k 1k");
        }

        if (!Has("bits=1") && !Has("data_file"))
        {
            for (var i = 0; i < 2; i++)
            {
                await ExternalTool.RunAsync("qemu-img", directory, ["snapshot", .. secret, "-c", $"s{i.ToString(CultureInfo.InvariantCulture)}", .. image]);
                await WriteAsync($"write -P {7 + i} {4 + (i * 64)}k 8k");
            }
        }

        if (!Has("0.10"))
        {
            await ExternalTool.RunAsync("qemu-img", directory, ["bitmap", .. secret, "--add", .. image, "bits"]);
            await ExternalTool.RunAsync("qemu-img", directory, ["bitmap", .. secret, "--add", "-g", "4k", .. image, "more"]);
            await WriteAsync("write -P 9 70k 30k");
        }

        var data = Has("data_file") ? await File.ReadAllBytesAsync(Path.Combine(directory, "data.raw")) : null;
        Images.Add((option, await File.ReadAllBytesAsync(Path.Combine(directory, "d.qcow2")), data));
    }
}
