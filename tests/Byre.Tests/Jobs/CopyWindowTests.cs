using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Jobs;

/// <summary>A part of an image is copied as a whole image that holds only that part would be.</summary>
public class CopyWindowTests
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Fact]
    public async Task Any_window_of_a_source_is_copied()
    {
        const int seed = 11;
        var random = new Random(seed);
        var content = new byte[3 << 20];
        for (var at = 0; at < content.Length; at += 8192)
        {
            if (random.Next(3) > 0)
            {
                random.NextBytes(content.AsSpan(at, Math.Min(8192, content.Length - at)));
            }
        }

        for (var i = 0; i < 60; i++)
        {
            var offset = random.Next(6) == 0 ? content.Length + random.Next(1000) : random.Next(content.Length);
            var length = random.Next(4) == 0 ? long.MaxValue : random.Next(content.Length);
            var expected = content.AsSpan(Math.Min(offset, content.Length));
            expected = expected[..(int)Math.Min(expected.Length, length)];
            await using var source = new BlockEdge(new MemoryNode((byte[])content.Clone()), ChildRole.None, Everything);
            await using var target = new BlockEdge(new MemoryNode(expected.Length), ChildRole.None, Everything);
            var engine = new CopyEngine([source], target, new CopyOptions { SourceOffset = offset, SourceLength = length, BufferSize = 64 << 10 });
            Assert.Equal(expected.Length, engine.Length);
            var copy = expected.ToArray();
            await engine.RunAsync();
            var read = new byte[copy.Length];
            if (read.Length > 0)
            {
                await target.ReadAsync(0, read);
            }

            Assert.True(read.AsSpan().SequenceEqual(copy), $"seed {seed}, round {i}: {length} bytes at {offset}");
        }
    }

    [Fact]
    public async Task A_window_is_of_one_source_only()
    {
        await using var source = new BlockEdge(new MemoryNode(4096), ChildRole.None, Everything);
        await using var target = new BlockEdge(new MemoryNode(8192), ChildRole.None, Everything);
        Assert.Throws<BlockException>(() => new CopyEngine([source, source], target, new CopyOptions { SourceOffset = 1 }));
    }
}
