using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>Chains of images in memory, for jobs that work on them.</summary>
internal static class ChainImages
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    /// <summary>An empty image.</summary>
    public static async Task<byte[]> CreateAsync(Qcow2CreateOptions options)
    {
        var file = new MemoryNode(0);
        using var keep = new KeptNode(file);
        await using (var edge = new BlockEdge(file, ChildRole.Metadata | ChildRole.Primary, Everything, "file"))
        {
            await Qcow2Creator.CreateAsync(edge, null, options);
        }

        return await ContentAsync(file);
    }

    /// <summary>Writes runs of sectors and of zeroes all over an image, so that some clusters are data, some zero, some absent.</summary>
    /// <param name="image">The image's file.</param>
    /// <param name="backing">The node below, or null.</param>
    /// <param name="value">What is written.</param>
    /// <param name="seed">Of the places.</param>
    /// <param name="longest">The longest run in sectors.</param>
    public static async Task<byte[]> FillAsync(byte[] image, BlockNode? backing, int value, int seed, int longest = 40)
    {
        var file = new MemoryNode((byte[])image.Clone());
        using var keep = new KeptNode(file);
        await using (var edge = await Qcow2Images.OpenAsync(file, null, backing, new Qcow2OpenOptions()))
        {
            var random = new Random(seed);
            var sectors = (int)(edge.Length / SectorContent.Size);
            for (var i = 0; i < 12; i++)
            {
                var from = random.Next(sectors);
                var count = random.Next(1, 1 + Math.Min(longest, sectors - from));
                if (i % 3 == 2)
                {
                    await edge.WriteZeroesAsync((long)from * SectorContent.Size, (long)count * SectorContent.Size, WriteFlags.MayUnmap);
                }
                else
                {
                    await edge.WriteAsync((long)from * SectorContent.Size, SectorContent.Make(value, from, count));
                }
            }
        }

        return await ContentAsync(file);
    }

    /// <summary>Opens an image, or a plain disk where it is none; the node is closed with it.</summary>
    public static async Task<BlockEdge> OpenAsync(BlockNode file, BlockNode? backing, bool readOnly)
    {
        var head = new byte[4];
        if (file.Length >= 4)
        {
            await file.ReadAsync(0, head);
        }

        return head is [0x51, 0x46, 0x49, 0xfb]
            ? await Qcow2Images.OpenAsync(file, null, backing, new Qcow2OpenOptions { ReadOnly = readOnly })
            : new BlockEdge(file, ChildRole.None, Everything);
    }

    /// <summary>Opens the first of several files over the second, and so on, and reads it; each image is checked.</summary>
    public static async Task<byte[]> ReadChainAsync(string what, params byte[][] files)
    {
        BlockEdge? below = null;
        for (var i = files.Length - 1; i >= 0; i--)
        {
            var node = new MemoryNode(files[i]);
            using var keep = new KeptNode(node);
            var isQcow2 = files[i] is [0x51, 0x46, 0x49, 0xfb, ..];
            if (isQcow2)
            {
                await RepairIfDirtyAsync(node);
                var problem = Qcow2Images.Problem(await Qcow2Images.CheckAsync(node));
                Assert.True(problem is null, $"{what}: file {i}: {problem}");
            }

            var edge = await OpenAsync(node, isQcow2 ? below?.Node : null, readOnly: true);
            if (below is not null)
            {
                await below.DisposeAsync();
            }

            below = edge;
        }

        var content = await Qcow2Images.ReadAllAsync(below!, 128 << 10);
        await below!.DisposeAsync();
        return content;
    }

    /// <summary>All bytes of a node.</summary>
    public static async Task<byte[]> ContentAsync(BlockNode node)
    {
        var bytes = new byte[node.Length];
        if (bytes.Length > 0)
        {
            await node.ReadAsync(0, bytes);
        }

        return bytes;
    }

    private static async Task RepairIfDirtyAsync(MemoryNode node)
    {
        var head = new byte[80];
        await node.ReadAsync(0, head);
        if (head[7] == 3 && (head[79] & 1) != 0)
        {
            await Qcow2Images.CheckAsync(node, RepairMode.All);
        }
    }
}
