using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>An image whose file has no more space from some request on: any one.</summary>
public class FullFileTests
{
    /// <summary>A write fails and changes nothing, or it can be flushed: the tables that name the data have their space.</summary>
    [Theory]
    [InlineData("cluster_size=64k", 4096, 32 << 20, 37)]
    [InlineData("cluster_size=64k", 4096, 512 << 20, 101)]
    [InlineData("cluster_size=64k,extended_l2=on", 4096, 256 << 20, 101)]
    [InlineData("cluster_size=64k,compat=0.10", 4096, 512 << 20, 101)]
    [InlineData("cluster_size=64k,lazy_refcounts=on", 4096, 512 << 20, 101)]
    [InlineData("cluster_size=4k,refcount_bits=64", 4096, 2 << 20, 3)]
    [InlineData("cluster_size=512", 512, 24 << 10, 1)]
    public async Task What_was_written_can_be_flushed(string options, int length, int stride, int step)
    {
        const int Writes = 20;
        var start = await MakeAsync(options, length, stride, Writes);
        var (runs, failures, wasEnough) = (0, 0, false);
        for (var free = 0; !wasEnough; free += step)
        {
            var file = new FullNode(start, free);
            var written = new bool[Writes];
            await using (var image = await OpenAsync(file))
            {
                for (var i = 0; i < Writes; i++)
                {
                    written[i] = await TryAsync(() => WriteAsync(image, i, length, stride));
                }

                await image.FlushAsync();
            }

            var what = $"{options} with space for {free} sectors";
            await CheckAsync(file.Content, written, length, stride, what);
            wasEnough = file.Refused == 0;
            runs++;
            failures += written.Count(w => !w);
            Assert.True(runs < 1000, "it never was enough");
        }

        Assert.True(runs > 10 && failures > runs, $"{runs} runs, {failures} failures");
    }

    /// <summary>Half of the pieces are there already, and a snapshot has them too: what changes is copied, the tables as well.</summary>
    private static async Task<byte[]> MakeAsync(string options, int length, int stride, int count)
    {
        var file = TestImage.Create((long)stride * count + length, options);
        await using (var image = await TestImage.OpenAsync(file))
        {
            for (var i = 0; i < count; i += 2)
            {
                await image.WriteAsync((long)i * stride, Content(length, 1));
            }

            _ = await ((ISnapshotStore)image.Node).CreateSnapshotAsync(new SnapshotRequest { Name = "s" });
        }

        var bytes = new byte[file.Length];
        await file.ReadAsync(0, bytes);
        return bytes;
    }

    /// <summary>Data and zeroes.</summary>
    private static async Task WriteAsync(BlockEdge image, int i, int length, int stride)
    {
        var at = (long)i * stride;
        if (i % 5 == 4)
        {
            await image.WriteZeroesAsync(at, length, WriteFlags.MayUnmap);
        }
        else
        {
            await image.WriteAsync(at, Content(length, i + 2));
        }
    }

    private static async Task CheckAsync(MemoryNode file, bool[] written, int length, int stride, string what)
    {
        await using var image = await TestImage.OpenAsync(file);
        for (var i = 0; i < written.Length; i++)
        {
            var expected = written[i] ? (i % 5 == 4 ? 0 : i + 2) : (i % 2 == 0 ? 1 : 0);
            var seen = await TestImage.ReadAsync(image, (long)i * stride, length);
            Assert.True(seen.AsSpan().SequenceEqual(Content(length, expected)), $"{what}: piece {i}, written: {written[i]}, reads {seen[0]} and not {expected}");
        }

        var report = await ((IImageCheck)image.Node).CheckAsync(RepairMode.None);
        Assert.True((report.Corruptions, report.Leaks, report.CheckErrors) == (0, 0, 0), $"{what}: {report}");
    }

    private static async Task<bool> TryAsync(Func<Task> request)
    {
        try
        {
            await request();
            return true;
        }
        catch (BlockException e)
        {
            Assert.Equal(ErrorCode.NoSpace, e.Code);
            return false;
        }
    }

    private static async Task<BlockEdge> OpenAsync(FullNode file)
    {
        var edge = new BlockEdge(file, ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
        var node = await Qcow2Node.OpenAsync(edge, await Qcow2HeaderReader.ReadAsync(edge), null, null, new Qcow2OpenOptions());
        return new BlockEdge(node, ChildRole.None, TestImage.All);
    }

    private static byte[] Content(int length, int value)
    {
        var bytes = new byte[length];
        bytes.AsSpan().Fill((byte)value);
        return bytes;
    }
}
