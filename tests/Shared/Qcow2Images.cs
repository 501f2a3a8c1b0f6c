using Byre.Crypto;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Nodes;

namespace Byre.TestTools;

/// <summary>Opens and checks qcow2 images over nodes that a test has made.</summary>
internal static class Qcow2Images
{
    private static readonly PermissionSet Reads = new(Permissions.ConsistentRead, Permissions.All);
    private static readonly PermissionSet Writes = new(Permissions.All, Permissions.All);

    /// <summary>How a test encrypts an image: with the passphrase "abc" and a LUKS header that is short and opens at once.</summary>
    public static LuksCreateOptions Encryption => new()
    {
        Passphrase = new SecretBytes("abc"u8),
        Cipher = new CipherSpec(CipherKind.Aes128, ModeKind.Cbc, IvKind.Plain64, null),
        IterationMilliseconds = 0,
    };

    /// <summary>Opens an image, which has the passphrase "abc" if any; the nodes are closed with it, or if it cannot be opened.</summary>
    public static async Task<BlockEdge> OpenAsync(BlockNode file, BlockNode? dataFile, BlockNode? backing, Qcow2OpenOptions options, bool forCheck = false)
    {
        var permissions = options.ReadOnly ? Reads : Writes;
        var role = ChildRole.Metadata | ChildRole.Primary | (dataFile is null ? ChildRole.Data : ChildRole.None);
        var edges = new List<BlockEdge> { new(file, role, permissions, "file") };
        try
        {
            var dataEdge = dataFile is null ? null : new BlockEdge(dataFile, ChildRole.Data, permissions, "data-file");
            var backingEdge = backing is null ? null : new BlockEdge(backing, ChildRole.Backing, Reads, "backing");
            edges.AddRange(new[] { dataEdge, backingEdge }.OfType<BlockEdge>());
            var header = await Qcow2HeaderReader.ReadAsync(edges[0], forCheck);
            var node = await Qcow2Node.OpenAsync(
                edges[0], header, dataEdge, backingEdge, header.CryptMethod == 0 ? options : options with { Passphrase = new SecretBytes("abc"u8) });
            return new BlockEdge(node, ChildRole.None, permissions);
        }
        catch
        {
            foreach (var edge in edges)
            {
                await edge.DisposeAsync();
            }

            throw;
        }
    }

    /// <summary>Checks, and perhaps repairs, an image. The node is closed unless somebody else uses it.</summary>
    public static async Task<CheckReport> CheckAsync(BlockNode file, RepairMode repair = RepairMode.None)
    {
        await using var edge = new BlockEdge(
            file, ChildRole.Metadata | ChildRole.Primary, repair == RepairMode.None ? Reads : Writes, "file");
        var header = await Qcow2HeaderReader.ReadAsync(edge, forCheck: true);
        return await Qcow2Checker.CheckAsync(edge, header, header.HasDataFile, repair);
    }

    /// <summary>Reads all of a disk.</summary>
    public static async Task<byte[]> ReadAllAsync(BlockEdge edge, int chunk = 1 << 20)
    {
        var content = new byte[edge.Length];
        for (var at = 0; at < content.Length; at += chunk)
        {
            await edge.ReadAsync(at, content.AsMemory(at, Math.Min(chunk, content.Length - at)));
        }

        return content;
    }

    /// <summary>What is wrong with an image beyond leaks, in one line; null where nothing is.</summary>
    public static string? Problem(CheckReport report, bool leaksCount = false) =>
        report.Corruptions == 0 && report.CheckErrors == 0 && report.Aborted is null && (report.Leaks == 0 || !leaksCount)
            ? null
            : $"{report.Corruptions} corruptions, {report.CheckErrors} check errors, {report.Leaks} leaks: {report.Aborted} {string.Join("; ", report.Findings.Take(5))}";
}
