using Byre.Formats.Raw;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Graph;

/// <summary>Graphs over real files: locks follow the permissions; blocks that the file wants are kept.</summary>
public sealed class FileChainTests : IDisposable
{
    private const ChildRole FileRole = ChildRole.Data | ChildRole.Primary | ChildRole.Filtered;

    private readonly string directory = Directory.CreateTempSubdirectory("byre-graph").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public async Task Locks_follow_what_the_users_of_a_graph_call_for()
    {
        var path = Path.Combine(directory, "disk.img");
        File.WriteAllBytes(path, new byte[4096]);
        var one = new BlockGraph();
        var root = await OpenAsync(one, path, DefaultPermissions.Writer);
        var e = await Assert.ThrowsAsync<BlockException>(async () => await OpenAsync(new BlockGraph(), path, DefaultPermissions.Reader));
        Assert.Equal(ErrorCode.Locked, e.Code);
        Assert.Contains(path, e.Message, StringComparison.Ordinal);
        await one.SetPermissionsAsync(root, DefaultPermissions.Reader);
        var two = new BlockGraph();
        var other = await OpenAsync(two, path, DefaultPermissions.Reader);
        e = await Assert.ThrowsAsync<BlockException>(async () => await one.SetPermissionsAsync(root, DefaultPermissions.Writer));
        Assert.Equal(ErrorCode.Locked, e.Code);
        Assert.Equal(DefaultPermissions.Reader, root.Permissions);
        await other.DisposeAsync();
        await one.SetPermissionsAsync(root, DefaultPermissions.Writer);
        await root.WriteAsync(0, new byte[512]);
        await root.DisposeAsync();
        await (await OpenAsync(new BlockGraph(), path, DefaultPermissions.Writer)).DisposeAsync();
    }

    [Fact]
    public async Task A_direct_file_with_an_odd_length_is_read_and_written_at_its_end()
    {
        var path = Path.Combine(directory, "odd.img");
        var model = new byte[10_001];
        new Random(5).NextBytes(model);
        File.WriteAllBytes(path, model);
        FileNode node;
        try
        {
            node = FileNode.Open(new FileNodeOptions { Path = path, Cache = CacheMode.None });
        }
        catch (BlockException e) when (e.Code == ErrorCode.Invalid)
        {
            return; // the temporary directory's file system does not do O_DIRECT
        }

        var edge = await new BlockGraph().AttachAsync(node, ChildRole.None, DefaultPermissions.Writer);
        var random = new Random(6);
        for (var i = 0; i < 150; i++)
        {
            var offset = random.Next(model.Length);
            var data = new byte[random.Next(1, model.Length - offset + 1)];
            if (random.Next(8) == 0)
            {
                offset = model.Length + (random.Next(2) * random.Next(6000));
                Array.Resize(ref model, offset + data.Length);
                await edge.WriteAsync(offset, data);
                Assert.Equal(model.Length, edge.Length);
            }
            else if (random.Next(2) == 0)
            {
                await edge.ReadAsync(offset, data);
                Assert.True(data.AsSpan().SequenceEqual(model.AsSpan(offset, data.Length)));
            }
            else
            {
                random.NextBytes(data);
                data.CopyTo(model, offset);
                await edge.WriteAsync(offset, data);
            }
        }

        await edge.DisposeAsync();
        Assert.Equal(model, File.ReadAllBytes(path));
    }

    private static async Task<BlockEdge> OpenAsync(BlockGraph graph, string path, PermissionSet permissions)
    {
        var readOnly = (permissions.Used & Permissions.Write) == 0;
        var file = await graph.AttachAsync(
            FileNode.Open(new FileNodeOptions { Path = path }), FileRole, readOnly ? DefaultPermissions.Reader : DefaultPermissions.Writer, "file");
        return await graph.AttachAsync(RawNode.Open(file, new RawOptions()), ChildRole.None, permissions);
    }
}
