using System.Buffers.Binary;
using System.Globalization;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;
using Byre.TestTools;

namespace Byre.Fuzz;

/// <summary>
/// Damaged images are repaired: what was readable reads as before, a second check is clean or names what is left, and QEMU
/// says the same of what is clean. BYRE_SEED is the first seed, BYRE_ROUNDS how many.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class RepairFuzzTests(RepairSeeds seeds) : IClassFixture<RepairSeeds>
{
    private const long MemoryLimit = 256L << 20;
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_repair_loses_nothing_and_ends_clean_or_says_what_is_left()
    {
        var first = Number("BYRE_SEED", 1);
        var rounds = Number("BYRE_ROUNDS", 200);
        List<string> wrong = [];
        for (var seed = first; seed < first + rounds; seed++)
        {
            var random = new Random(seed);
            var (name, original, dataFile) = seeds.Images[random.Next(seeds.Images.Count)];
            var image = new MetadataDamage(original, random).Damaged();
            try
            {
                var allocated = GC.GetTotalAllocatedBytes();
                if (await Task.Run(() => RepairAsync(image, dataFile, random.Next(4) == 0 ? RepairMode.Leaks : RepairMode.All, seed % 8 == 0)).WaitAsync(TimeLimit) is { } problem)
                {
                    wrong.Add($"seed {seed} ({name}): {problem}");
                }

                allocated = GC.GetTotalAllocatedBytes() - allocated;
                Assert.True(allocated < MemoryLimit, $"seed {seed} ({name}): {allocated >> 20} MiB were allocated");
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                wrong.Add($"seed {seed} ({name}): {e}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} of {rounds}\n" + string.Join("\n", wrong.Take(20)));
    }

    [Fact]
    public async Task Undamaged_images_are_clean()
    {
        foreach (var (name, image, dataFile) in seeds.Images)
        {
            var report = await Qcow2Images.CheckAsync(new MemoryNode(image));
            Assert.True(Qcow2Images.Problem(report, leaksCount: true) is null, $"{name}: {Qcow2Images.Problem(report, leaksCount: true)}");
            Assert.Null(await RepairAsync(image, dataFile, RepairMode.All, asksQemu: true));
        }
    }

    /// <summary>Images of every kind and refcount width, with snapshots, bitmaps, data files and LUKS.</summary>
    [Theory]
    [InlineData("the table is garbage")]
    [InlineData("the table is nowhere")]
    [InlineData("the table is the header")]
    [InlineData("the table is behind the end")]
    [InlineData("the blocks are where data is")]
    [InlineData("the blocks are one")]
    [InlineData("the blocks are garbage")]
    public async Task Destroyed_refcounts_are_made_anew(string damage)
    {
        foreach (var (name, original, dataFile) in seeds.Images)
        {
            var image = (byte[])original.Clone();
            var header = Qcow2Header.Parse(image, name);
            var table = image.AsSpan((int)header.RefcountTableOffset, header.ClusterSize);
            var block = BinaryPrimitives.ReadInt64BigEndian(table);
            var place = image.AsSpan(HeaderFields.RefcountTableOffset);
            switch (damage)
            {
                case "the table is garbage":
                    new Random(1).NextBytes(table);
                    break;
                case "the table is nowhere":
                    BinaryPrimitives.WriteInt64BigEndian(place, 0x1234_5678_9abc);
                    break;
                case "the table is the header":
                    BinaryPrimitives.WriteInt64BigEndian(place, 0);
                    break;
                case "the table is behind the end":
                    BinaryPrimitives.WriteInt64BigEndian(place, (image.Length + (10L * header.ClusterSize)) & -header.ClusterSize);
                    break;
                case "the blocks are where data is":
                    BinaryPrimitives.WriteInt64BigEndian(table, header.L1Offset);
                    BinaryPrimitives.WriteInt64BigEndian(table[8..], (image.Length / 2) & -header.ClusterSize);
                    break;
                case "the blocks are one":
                    BinaryPrimitives.WriteInt64BigEndian(table[8..], block);
                    break;
                default:
                    new Random(2).NextBytes(image.AsSpan((int)block, header.ClusterSize));
                    break;
            }

            var node = new MemoryNode(image);
            await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
            var report = await Qcow2Images.CheckAsync(node, RepairMode.All);
            Assert.True(Qcow2Images.Problem(report, leaksCount: true) is null, $"{name}: {Qcow2Images.Problem(report, leaksCount: true)}");
            var bytes = await BytesOfAsync(node);
            var lost = (await ReadableContent.ReadAsync(original, dataFile)).LostIn(await ReadableContent.ReadAsync(bytes, dataFile), mayDropSnapshots: false);
            Assert.True(lost is null, $"{name}: {lost}");
            Assert.Null(await AskQemuAsync(bytes, dataFile, report));
        }
    }

    /// <summary>What is wrong with a repair, or null.</summary>
    private static async Task<string?> RepairAsync(byte[] image, byte[]? dataFile, RepairMode mode, bool asksQemu)
    {
        var before = await ReadableContent.ReadAsync(image, dataFile);
        var node = new MemoryNode(image);
        await using var keep = new BlockEdge(node, ChildRole.None, PermissionSet.Nothing);
        CheckReport found;
        try
        {
            found = await Qcow2Images.CheckAsync(node);
        }
        catch (BlockException)
        {
            return null; // the header is refused
        }

        if (node.Length != image.Length || !(await BytesOfAsync(node)).AsSpan().SequenceEqual(image))
        {
            return "a check changed the file";
        }

        var report = await Qcow2Images.CheckAsync(node, mode);
        var bytes = await BytesOfAsync(node);
        var after = await ReadableContent.ReadAsync(bytes, dataFile);
        var drops = mode == RepairMode.All && found.Findings.Any(f => f.Remedy == CheckRemedy.DropSnapshot);
        if (before.LostIn(after, drops) is { } lost)
        {
            return $"{mode}: {lost} ({Qcow2Images.Problem(found, leaksCount: true)})";
        }

        var again = await Qcow2Images.CheckAsync(node);
        if (WithoutFlags(again) > WithoutFlags(found) && found.Aborted is null)
        {
            return $"{mode}: {found.Corruptions} corruptions became {again.Corruptions}: {Qcow2Images.Problem(again)}";
        }

        if (mode == RepairMode.All && report.Aborted is null && again.Corruptions + again.Leaks + again.CheckErrors != 0)
        {
            // All that is left must be what no repair claims to mend.
            var claimed = again.Findings.FirstOrDefault(f => f.Remedy is not (CheckRemedy.None or CheckRemedy.SetCopiedFlag) && f.Count > 0);
            if (claimed is not null && again.DroppedFindings == 0 && !again.Findings.Any(f => f.Kind == CheckFindingKind.Overlap))
            {
                return $"left, and a repair is said to mend it: {claimed} ({Qcow2Images.Problem(found, leaksCount: true)})";
            }
        }

        return asksQemu && again.Aborted is null ? await AskQemuAsync(bytes, dataFile, again) : null;
    }

    /// <summary>
    /// Corruptions other than COPIED flags: in a table that guest data overlaps a flag cannot follow a count that is put right.
    /// </summary>
    private static long WithoutFlags(CheckReport report) =>
        report.Corruptions - report.Findings.Where(f => f.Kind == CheckFindingKind.CopiedFlag).Sum(f => f.Count);

    private static async Task<string?> AskQemuAsync(byte[] bytes, byte[]? dataFile, CheckReport ours)
    {
        var directory = Directory.CreateTempSubdirectory("byre-repaired").FullName;
        try
        {
            await File.WriteAllBytesAsync(Path.Combine(directory, "d.qcow2"), bytes);
            if (dataFile is not null)
            {
                await File.WriteAllBytesAsync(Path.Combine(directory, "data.raw"), dataFile);
            }

            var status = ours.CheckErrors > 0 ? 1 : ours.Corruptions > 0 ? 2 : ours.Leaks > 0 ? 3 : 0;
            var program = Environment.GetEnvironmentVariable("BYRE_QEMU10") is { Length: > 0 } newer ? Path.Combine(newer, "qemu-img") : "qemu-img";
            var (theirs, output, error) = await ExternalTool.TryRunAsync(program, directory, [
                "check", "--object", "secret,id=s,data=abc", "--image-opts",
                "driver=qcow2,file.filename=d.qcow2" + (BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(32)) == 2 ? ",encrypt.key-secret=s" : ""),
            ]);
            return theirs == status || (theirs == 1 && status != 0) ? null : $"QEMU ends with {theirs} and not {status}: {error} {output}";
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<byte[]> BytesOfAsync(MemoryNode node)
    {
        var bytes = new byte[node.Length];
        await node.ReadAsync(0, bytes);
        return bytes;
    }

    private static int Number(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out var n) ? n : otherwise;
}
