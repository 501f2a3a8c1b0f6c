using Byre.Cli.Copy;
using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Tests.Jobs;

namespace Byre.Tests.Cli.Copy;

/// <summary>A copy into a comparing node finds every difference, and reads nothing that both sides know to be zero.</summary>
public sealed class ComparingNodeTests
{
    private const int Block = 4096;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Every_difference_is_found_and_nothing_else(int seed)
    {
        var random = new Random(seed);
        for (var round = 0; round < 30; round++)
        {
            var bytes = new byte[random.Next(1, 100) * 512];
            random.NextBytes(bytes.AsSpan(random.Next(bytes.Length)));
            bytes.AsSpan(random.Next(bytes.Length)).Clear();
            var copy = new byte[bytes.Length + random.Next(2) * 1000];
            bytes.CopyTo(copy, 0);
            copy.AsSpan(bytes.Length).Fill(1); // what lies behind does not matter
            Assert.Null(await CompareAsync(bytes, copy));
            var at = random.Next(bytes.Length);
            copy[at] ^= 0x10;
            var e = await CompareAsync(bytes, copy);
            Assert.Equal($"verify: 'copy' differs from the source at byte {at}", e?.Message);
        }
    }

    [Fact]
    public async Task What_both_say_is_zero_is_not_read()
    {
        var source = new CopyNode(new byte[64 * Block]).DescribeZeroes(Block, ExtentState.Zero);
        var target = new CopyNode(new byte[64 * Block]).DescribeZeroes(Block, ExtentState.Zero);
        Assert.Null(await CompareAsync(source, target));
        Assert.Empty(source.Reads);
        Assert.Empty(target.Reads);
    }

    [Fact]
    public async Task A_target_that_does_not_say_so_is_read_where_zeroes_are_wanted()
    {
        var target = new CopyNode(new byte[64 * Block]);
        target.Bytes[63 * Block] = 1;
        var e = await CompareAsync(new CopyNode(new byte[64 * Block]).DescribeZeroes(Block, ExtentState.Zero), target);
        Assert.Equal(ErrorCode.Corrupt, e?.Code);
        Assert.EndsWith($"differs from the source at byte {63 * Block}", e?.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_target_that_cannot_be_read_back_is_told_of()
    {
        var target = new CopyNode(new byte[8 * Block]);
        target.BadSectors.Add(3);
        var e = await CompareAsync(new CopyNode(new byte[8 * Block]), target);
        Assert.Equal("verify: 'copy' cannot be read back at byte 0: bad sector", e?.Message);
    }

    private static Task<BlockException?> CompareAsync(byte[] source, byte[] target) =>
        CompareAsync(new CopyNode(source).DescribeZeroes(512, ExtentState.Zero), new CopyNode(target));

    private static async Task<BlockException?> CompareAsync(CopyNode source, CopyNode target)
    {
        await using var from = new BlockEdge(source, ChildRole.None, DefaultPermissions.Reader);
        await using var to = new BlockEdge(target, ChildRole.None, DefaultPermissions.Writer);
        var node = new ComparingNode(to, source.Length, "copy");
        await using var compared = new BlockEdge(node, ChildRole.None, DefaultPermissions.Writer);
        try
        {
            await new CopyEngine([from], compared, new CopyOptions { SparseBytes = 0, KeepsHoles = true, OutOfOrder = true, BufferSize = Block }).RunAsync();
        }
        catch (BlockException)
        {
            Assert.NotNull(node.Failure);
        }

        return node.Failure;
    }
}
