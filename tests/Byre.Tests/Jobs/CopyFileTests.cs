using Byre.Formats.Raw;
using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Jobs;

/// <summary>Copies between files: holes stay holes, and the kernel may copy.</summary>
public sealed class CopyFileTests : IDisposable
{
    private const ChildRole FileRole = ChildRole.Data | ChildRole.Primary | ChildRole.Filtered;

    private readonly string directory = Directory.CreateTempSubdirectory("byre-copy").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData(false, 4096)]
    [InlineData(true, 4096)]
    [InlineData(true, 0)]
    [InlineData(false, 0)]
    public async Task A_sparse_file_is_copied_byte_for_byte(bool copyRange, int sparse)
    {
        var path = Path.Combine(directory, "source");
        var random = new Random(8);
        using (var file = File.Create(path))
        {
            file.SetLength((24 << 20) + 512);
            foreach (var at in new[] { 0L, 1 << 20, (5 << 20) + 4096, 20 << 20, 24 << 20 })
            {
                var data = new byte[Math.Min(random.Next(1, 2 << 20), file.Length - at)];
                random.NextBytes(data);
                file.Position = at;
                file.Write(data);
            }
        }

        var copy = Path.Combine(directory, "copy");
        await using (var source = await OpenAsync(FileNode.Open(new FileNodeOptions { Path = path, ReadOnly = true, Blocking = true })))
        await using (var target = await OpenAsync(FileNode.Create(new FileNodeOptions { Path = copy, Blocking = true }, source.Length)))
        {
            var result = await new CopyEngine([source], target, new CopyOptions { TargetIsZero = true, CopyRange = copyRange, SparseBytes = sparse }).RunAsync();
            Assert.Equal(sparse == 0, result.BytesSkipped == 0);
        }

        Assert.True(File.ReadAllBytes(path).AsSpan().SequenceEqual(File.ReadAllBytes(copy)));
    }

    private static async Task<BlockEdge> OpenAsync(FileNode node)
    {
        var permissions = node.IsReadOnly ? DefaultPermissions.Reader : DefaultPermissions.Writer;
        var graph = new BlockGraph();
        var file = await graph.AttachAsync(node, FileRole, permissions, "file");
        return await graph.AttachAsync(RawNode.Open(file, new RawOptions()), ChildRole.None, permissions);
    }
}
