using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Storage;

/// <summary>Long writes reach a file in pieces, whole and where they belong.</summary>
public sealed class FileWriteTests : IDisposable
{
    private const int Length = 3 << 20;

    private readonly string folder = Directory.CreateTempSubdirectory("byre-write-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(0, 256 << 10)]
    [InlineData(0, (256 << 10) + 1)]
    [InlineData(1, 256 << 10)]
    [InlineData((256 << 10) - 1, 2)]
    [InlineData(77, (2 << 20) + 513)]
    [InlineData(0, Length)]
    public async Task A_write_of_any_place_and_length_is_whole(int offset, int length)
    {
        var model = new byte[Length];
        new Random(3).NextBytes(model);
        var path = Path.Combine(folder, "file");
        await File.WriteAllBytesAsync(path, model);
        var data = new byte[length];
        new Random(4).NextBytes(data);
        data.CopyTo(model, offset);
        await using (var edge = new BlockEdge(FileNode.Open(new FileNodeOptions { Path = path }), ChildRole.None, DefaultPermissions.Writer))
        {
            await edge.WriteAsync(offset, data);
        }

        Assert.Equal(model, await File.ReadAllBytesAsync(path));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(5000)]
    public async Task A_file_that_is_made_holds_nothing_of_the_one_before(int before)
    {
        var path = Path.Combine(folder, "file");
        if (before > 0)
        {
            await File.WriteAllBytesAsync(path, Enumerable.Repeat((byte)7, before).ToArray());
        }

        await FileNode.Create(new FileNodeOptions { Path = path }, 10000).DisposeAsync();
        Assert.Equal(new byte[10000], await File.ReadAllBytesAsync(path));
    }
}
