using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Random requests, some at the same time, against a byte array; reopened and checked by qemu-img.</summary>
public class Qcow2ModelTests
{
    [Theory]
    [InlineData("cluster_size=512", 300 << 10, false)]
    [InlineData("cluster_size=512,refcount_bits=1", 200 << 10, false)]
    [InlineData("cluster_size=512,refcount_bits=64", 200 << 10, true)]
    [InlineData("cluster_size=4k", (1 << 20) + 1536, true)]
    [InlineData("cluster_size=4k,compat=0.10", 1 << 20, false)]
    [InlineData("cluster_size=4k,compat=0.10", 1 << 20, true)]
    [InlineData("cluster_size=4k,refcount_bits=64", 20 << 20, false)] // some ninety tables' slices, of which eight are kept
    [InlineData("cluster_size=64k", (3 << 20) + 512, false)]
    [InlineData("cluster_size=64k,lazy_refcounts=on", 3 << 20, true)]
    [InlineData("cluster_size=64k,refcount_bits=8,compression_type=zstd", 3 << 20, true)]
    [InlineData("cluster_size=2M", 9 << 20, true)]
    [InlineData("cluster_size=16k,extended_l2=on", 1 << 20, false)]
    [InlineData("cluster_size=16k,extended_l2=on", (1 << 20) + 2560, true)]
    [InlineData("cluster_size=128k,extended_l2=on", 3 << 20, true)]
    [InlineData("cluster_size=4k,preallocation=metadata", 1 << 20, false)]
    [InlineData("cluster_size=4k,data_file=data.raw", 1 << 20, true)]
    [InlineData("cluster_size=16k,extended_l2=on,data_file=data.raw", 1 << 20, true)]
    [InlineData("cluster_size=4k,data_file=data.raw,data_file_raw=on", (1 << 20) + 1536, false)]
    [InlineData("encrypt.format=luks,cluster_size=512", 200 << 10, true)]
    [InlineData("encrypt.format=luks,cluster_size=4k,compat=0.10", 1 << 20, true)]
    [InlineData("encrypt.format=luks,cluster_size=64k", (3 << 20) + 512, false)]
    [InlineData("encrypt.format=luks,cluster_size=64k,extended_l2=on", 3 << 20, true)]
    [InlineData("encrypt.format=luks,cluster_size=4k,preallocation=metadata", 1 << 20, false)]
    [InlineData("encrypt.format=luks,cluster_size=4k,data_file=data.raw", 1 << 20, true)]
    public async Task Random_requests_match_a_byte_array(string options, int size, bool hasBacking)
    {
        var seed = Environment.GetEnvironmentVariable("BYRE_SEED") is { Length: > 0 } s ? int.Parse(s) : 1;
        var rounds = Environment.GetEnvironmentVariable("BYRE_ROUNDS") is { Length: > 0 } r ? int.Parse(r) : 2;
        for (var i = 0; i < rounds; i++)
        {
            await RunAsync(options, size, hasBacking, seed + i);
        }
    }

    private static async Task RunAsync(string options, int size, bool hasBacking, int seed)
    {
        var random = new Random(seed);
        var what = $"{options}, seed {seed}";
        var model = new byte[size];
        MemoryNode? backing = null;
        if (hasBacking)
        {
            backing = new MemoryNode(random.Next(2) == 0 ? size : size / 2 / 512 * 512);
            var content = new byte[backing.Length];
            random.NextBytes(content);
            await backing.WriteAsync(0, content, WriteFlags.None);
            content.CopyTo(model, 0);
        }

        var file = TestImage.Create(size, options);
        var dataFile = options.Contains("data_file=", StringComparison.Ordinal) ? new MemoryNode(size) : null;
        KeepOpenNode.Yields = random.Next(3);
        for (var session = 0; session < 3; session++)
        {
            var clusterBits = new byte[1];
            await file.ReadAsync(23, clusterBits);
            var openOptions = new Qcow2OpenOptions
            {
                L2CacheBytes = random.Next(2) * 100000,
                RefcountCacheBytes = random.Next(2) * 100000,
                PassDiscardOther = random.Next(2) == 0,
                L2SliceBytes = random.Next(3) switch { 0 => null, 1 => 512, _ => Math.Min(65536, 1 << clusterBits[0]) },
                CacheCleanInterval = TimeSpan.FromMilliseconds(random.Next(2)),
                DiscardNoUnref = !options.Contains("0.10", StringComparison.Ordinal) && random.Next(3) == 0,
            };
            var image = await TestImage.OpenAsync(file, openOptions, backing, dataFile);
            var cluster = ((Qcow2Node)image.Node).Header.ClusterSize;
            for (var step = 0; step < 40; step++)
            {
                await StepAsync(image, model, cluster, random, (image.Node.SupportedWriteFlags & WriteFlags.Compressed) != 0, what);
            }

            var seen = new byte[size];
            await image.ReadAsync(0, seen);
            AssertSame(model, seen, $"{what}, session {session}");
            await image.DisposeAsync();
            await TestImage.CheckAsync(file, $"{what}, session {session}", dataFile);
        }

        var again = await TestImage.OpenAsync(file, new Qcow2OpenOptions { ReadOnly = true }, backing, dataFile);
        var reread = new byte[size];
        await again.ReadAsync(0, reread);
        AssertSame(model, reread, what + ", reopened");
        await again.DisposeAsync();
        if (options.Contains("data_file_raw=on", StringComparison.Ordinal))
        {
            await dataFile!.ReadAsync(0, reread);
            AssertSame(model, reread, what + ", the data file itself");
        }
    }

    private static async Task StepAsync(BlockEdge image, byte[] model, int cluster, Random random, bool compresses, string what)
    {
        var parts = random.Next(1, 7);
        var slot = Math.Max(512, model.Length / parts / 512 * 512);
        var work = new List<Task>();
        for (var i = 0; i < parts && i * slot < model.Length; i++)
        {
            var from = i * slot;
            var room = Math.Min(slot, model.Length - from);
            var longest = Math.Min(room, random.Next(3) == 0 ? room : cluster * 3);
            var length = random.Next(1, longest + 1);
            var offset = from + random.Next(room - length + 1);
            if (random.Next(2) == 0)
            {
                offset = offset / 512 * 512;
                length = Math.Max(512, length / 512 * 512);
                length = Math.Min(length, model.Length - offset);
            }

            work.Add(OneAsync(image, model, cluster, offset, length, random.Next(100), random.Next(), compresses, what));
        }

        await Task.WhenAll(work);
        if (random.Next(6) == 0)
        {
            await image.FlushAsync();
        }
    }

    private static async Task OneAsync(BlockEdge image, byte[] model, int cluster, int offset, int length, int kind, int value, bool compresses, string what)
    {
        switch (kind)
        {
            case < 45:
                var data = new byte[length];
                new Random(value).NextBytes(data);
                data.CopyTo(model, offset);
                await image.WriteAsync(offset, data);
                break;
            case < 60:
                Array.Clear(model, offset, length);
                await image.WriteZeroesAsync(offset, length, (value & 1) != 0 ? WriteFlags.MayUnmap : WriteFlags.None);
                break;
            case < 72:
                // What a discarded range reads as is the driver's affair: it is zeroed first, and stays zero.
                Array.Clear(model, offset, length);
                await image.WriteZeroesAsync(offset, length);
                if (image.Node is Qcow2Node { Backing: null } or Qcow2Node { Header.Version: 3 })
                {
                    await image.DiscardAsync(offset, length);
                }

                break;
            case < 82:
                var start = (offset + cluster - 1) / cluster * cluster;
                var end = (offset + length) / cluster * cluster;
                if (end > start)
                {
                    var text = new byte[end - start];
                    for (var i = 0; i < text.Length; i++)
                    {
                        text[i] = (byte)(((i * (value & 15)) >> 4) + (value & 7));
                    }

                    text.CopyTo(model, start);
                    await image.WriteAsync(start, text, compresses ? WriteFlags.Compressed : WriteFlags.None);
                }

                break;
            default:
                var expected = model.AsSpan(offset, length).ToArray();
                var seen = new byte[length];
                await image.ReadAsync(offset, seen);
                AssertSame(expected, seen, what + " (read)");
                break;
        }
    }

    private static void AssertSame(byte[] expected, byte[] seen, string what)
    {
        var at = expected.AsSpan().CommonPrefixLength(seen);
        Assert.True(at == expected.Length, $"{what}: byte {at:#,0} ({at:x}) is {(at < seen.Length ? seen[at] : -1):x}, not {(at < expected.Length ? expected[at] : -1):x}");
    }
}
