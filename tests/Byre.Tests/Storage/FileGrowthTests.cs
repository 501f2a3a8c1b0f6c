using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Storage;

public sealed class FileGrowthTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-growth-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Zeroes_that_extend_a_file_never_cut_off_what_is_written_beyond_them()
    {
        const int Block = 512;
        const int Pairs = 4000;
        var node = FileNode.Create(new FileNodeOptions { Path = Path.Combine(folder, "grows") }, 0);
        await using var edge = new BlockEdge(node, ChildRole.None, DefaultPermissions.Writer);
        var data = new byte[Block];
        Array.Fill<byte>(data, 0x5a);
        using var together = new Barrier(2);
        var zeroes = Task.Factory.StartNew(() => Each(i => edge.WriteZeroesAsync((2L * i) * Block, Block, WriteFlags.MayUnmap)), TaskCreationOptions.LongRunning);
        var writes = Task.Factory.StartNew(() => Each(i => edge.WriteAsync(((2L * i) + 1) * Block, data)), TaskCreationOptions.LongRunning);
        await Task.WhenAll(zeroes, writes);

        var all = new byte[2 * Pairs * Block];
        await edge.ReadAsync(0, all);
        for (var i = 0; i < Pairs; i++)
        {
            Assert.False(all.AsSpan(2 * i * Block, Block).ContainsAnyExcept((byte)0), $"zeroes {i}");
            Assert.False(all.AsSpan(((2 * i) + 1) * Block, Block).ContainsAnyExcept((byte)0x5a), $"data {i}");
        }

        Assert.Equal(all.Length, new FileInfo(node.FileName).Length);

        void Each(Func<int, ValueTask> request)
        {
            for (var i = 0; i < Pairs; i++)
            {
                together.SignalAndWait();
                request(i).AsTask().GetAwaiter().GetResult();
            }
        }
    }
}
