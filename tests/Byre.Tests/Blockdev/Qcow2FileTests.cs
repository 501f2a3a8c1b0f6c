using System.Diagnostics;
using Byre.Blockdev;
using Byre.Formats.Qcow2;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Blockdev;

/// <summary>qcow2 images as files, with QEMU's tools on the other side.</summary>
public sealed class Qcow2FileTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-files").FullName;

    public void Dispose() => Directory.Delete(directory, true);

    [Fact]
    public async Task What_a_killed_writer_with_lazy_refcounts_left_is_repaired_when_the_image_is_opened_for_writing()
    {
        Run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on,cluster_size=4k", At("lazy"), "4M");
        var killed = Run(0..255, "qemu-io", "-c", "write -P 5 0 1M", "-c", "flush", "-c", "sigraise 9", At("lazy"));
        Assert.NotEqual(0, killed.Code);
        Assert.Equal(1, File.ReadAllBytes(At("lazy"))[79] & 1);
        await using (var looked = await OpenAsync(At("lazy"), o => o with { ReadOnly = true }))
        {
            Assert.Equal(5, await FirstByteAsync(looked.Edge));
        }

        Assert.Equal(1, File.ReadAllBytes(At("lazy"))[79] & 1); // who only reads repairs nothing
        Assert.NotEqual(0, Run(0..255, "qemu-img", "check", At("lazy")).Code);
        await using (var image = await OpenAsync(At("lazy")))
        {
            Assert.Equal(0, File.ReadAllBytes(At("lazy"))[79] & 1);
            Assert.Equal(5, await FirstByteAsync(image.Edge));
        }

        Run("qemu-img", "check", At("lazy"));
        Run("qemu-io", "-r", "-c", "read -P 5 0 1M", "-c", "read -P 0 1M 3M", At("lazy"));
    }

    [Fact]
    public async Task A_chain_of_40_layers_in_mixed_formats_reads_as_qemu_img_reads_it()
    {
        const int Size = 40 * 8192;
        var random = new Random(1);
        var expected = new byte[Size];
        random.NextBytes(expected);
        await File.WriteAllBytesAsync(At("l0"), expected);
        for (var i = 1; i < 40; i++)
        {
            var below = i % 10 == 0 ? $"json:{{\"driver\":\"qcow2\",\"file\":{{\"driver\":\"file\",\"filename\":\"{At($"l{i - 1}")}\"}}}}" : $"l{i - 1}";
            var options = new[] { "cluster_size=4k", "cluster_size=16k,extended_l2=on", "cluster_size=512,compat=0.10", "cluster_size=64k" }[i % 4];
            Run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", below, "-F", i == 1 ? "raw" : "qcow2", At($"l{i}"), $"{Size}");
            await using var image = await OpenAsync(At($"l{i}"));
            for (var n = 0; n < 3; n++)
            {
                var data = new byte[random.Next(1, 9000)];
                random.NextBytes(data);
                var at = random.Next(Size - data.Length);
                data.CopyTo(expected, at);
                await image.Edge.WriteAsync(at, data);
            }
        }

        await using (var top = await OpenAsync(At("l39"), o => o with { ReadOnly = true }))
        {
            var seen = new byte[Size];
            await top.Edge.ReadAsync(0, seen);
            Assert.Equal(expected, seen);
        }

        Run("qemu-img", "convert", "-O", "raw", At("l39"), At("flat"));
        Assert.Equal(expected, await File.ReadAllBytesAsync(At("flat")));
    }

    [Theory]
    [InlineData("cluster_size=64k")]
    [InlineData("cluster_size=512")]
    [InlineData("cluster_size=16k,extended_l2=on,compression_type=zstd")]
    public async Task Direct_io_reads_and_writes_what_it_should(string options)
    {
        const int Size = (2 << 20) + 512;
        await ImageCreator.CreateAsync(new ImageCreateRequest
        {
            FileName = At("direct"), Format = "qcow2", Size = Size, Options = OptionTree.ParseList(options),
        });
        var random = new Random(2);
        var model = new byte[Size];
        for (var session = 0; session < 2; session++)
        {
            await using var image = await OpenAsync(At("direct"), o => o with { Cache = CacheMode.None });
            for (var i = 0; i < 150; i++)
            {
                var length = random.Next(1, 40_000);
                var at = random.Next(Size - length);
                switch (random.Next(4))
                {
                    case 0:
                        var seen = new byte[length];
                        await image.Edge.ReadAsync(at, seen);
                        Assert.Equal(model.AsSpan(at, length).ToArray(), seen);
                        break;
                    case 1:
                        model.AsSpan(at, length).Clear();
                        await image.Edge.WriteZeroesAsync(at, length, WriteFlags.MayUnmap);
                        break;
                    default:
                        random.NextBytes(model.AsSpan(at, length));
                        await image.Edge.WriteAsync(at, model.AsMemory(at, length));
                        break;
                }
            }

            var text = new byte[131072];
            text.CopyTo(model, 1 << 20);
            await image.Edge.WriteAsync(1 << 20, text, WriteFlags.Compressed);
        }

        Run("qemu-img", "check", At("direct"));
        Run("qemu-img", "convert", "-O", "raw", At("direct"), At("flat"));
        Assert.Equal(model, await File.ReadAllBytesAsync(At("flat")));
    }

    [Theory]
    [InlineData("data_file=data,cluster_size=4k")]
    [InlineData("data_file=data,data_file_raw=on")]
    [InlineData("data_file=data,preallocation=metadata")]
    [InlineData("data_file=data,preallocation=full,cluster_size=16k,extended_l2=on")]
    [InlineData("data_file=data,preallocation=falloc,data_file_raw=on")]
    public async Task Images_with_a_data_file_are_QEMUs_too(string options)
    {
        const int Size = (1 << 20) + 512;
        var model = new byte[Size];
        await ImageCreator.CreateAsync(new ImageCreateRequest
        {
            FileName = At("image"), Format = "qcow2", Size = Size,
            Options = OptionTree.ParseList(options.Replace("=data", "=" + At("data"), StringComparison.Ordinal)),
        });
        Run("qemu-img", "check", At("image"));
        Run("qemu-io", "-c", "read -P 0 0 1049088", "-c", "write -P 3 300k 100k", At("image"));
        model.AsSpan(300 << 10, 100 << 10).Fill(3);
        await using (var image = await OpenAsync(At("image")))
        {
            var seen = new byte[Size];
            await image.Edge.ReadAsync(0, seen);
            Assert.Equal(model, seen);
            model.AsSpan(350_000, 699_000).Fill(4);
            await image.Edge.WriteAsync(350_000, model.AsMemory(350_000, 699_000));
            await image.Edge.DiscardAsync(384 << 10, 128 << 10);
            model.AsSpan(384 << 10, 128 << 10).Clear();
            await image.Edge.ResizeAsync(Size + (1 << 20));
        }

        Run("qemu-img", "check", At("image"));
        Run("qemu-img", "convert", "-O", "raw", At("image"), At("flat"));
        Array.Resize(ref model, Size + (1 << 20));
        Assert.Equal(model, await File.ReadAllBytesAsync(At("flat")));
        if (options.Contains("raw=on", StringComparison.Ordinal))
        {
            Assert.Equal(model, await File.ReadAllBytesAsync(At("data")));
        }
    }

    private static async Task<byte> FirstByteAsync(BlockEdge edge)
    {
        var one = new byte[1];
        await edge.ReadAsync(0, one);
        return one[0];
    }

    private static ValueTask<OpenImage> OpenAsync(string name, Func<OpenOptions, OpenOptions>? change = null)
    {
        var options = new OpenOptions { FileName = name, Gate = OpenGate.AllowAll };
        options = change?.Invoke(options) ?? options;
        return ImageOpener.OpenAsync(options, DefaultPermissions.ForUser(write: !options.ReadOnly, resize: !options.ReadOnly));
    }

    private void Run(string program, params string[] arguments) => Run(0..0, program, arguments);

    private (int Code, string Output) Run(Range codes, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments)
        {
            RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = directory,
        };
        using var process = Process.Start(start)!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(
            process.ExitCode >= codes.Start.Value && process.ExitCode <= codes.End.Value,
            $"{program} {string.Join(' ', arguments)} ended {process.ExitCode}: {output}{error.Result}");
        return (process.ExitCode, output + error.Result);
    }

    private string At(string name) => Path.Combine(directory, name);
}
