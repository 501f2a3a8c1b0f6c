using System.Buffers.Binary;
using System.Text.Json;
using Byre.Interop.Cases;
using Byre.Nodes;

namespace Byre.Interop.Check;

/// <summary>Damaged snapshot tables and bitmap directories: what is left of them after a repair, as QEMU sees it.</summary>
public sealed class DamagedTableTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-tables").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    /// <summary>Each damage, the snapshots that are left, and whether QEMU 10 can repair it.</summary>
    [Qemu10Theory]
    [InlineData("short", "one,two", true)]
    [InlineData("long", "one,two", true)]
    [InlineData("far", "one", false)]
    [InlineData("misaligned L1", "one", false)]
    [InlineData("L1 behind the end", "one", false)]
    [InlineData("L1 too large", "one", false)]
    public async Task A_damaged_snapshot_table_is_mended_as_far_as_it_can_be_read(string damage, string left, bool asQemu)
    {
        var path = BaseImages.Make(directory, "snapshots");
        var image = new TestImage(await File.ReadAllBytesAsync(path));
        var content = await ContentAsync(path);
        Spoil(image, damage);
        await File.WriteAllBytesAsync(path, image.Bytes);
        var qemu10 = Path.Combine(Qemu10TheoryAttribute.Directory!, "qemu-img");

        var copy = path + ".theirs";
        File.Copy(path, copy);
        var (theirs, _) = Outcome.OfQemu(qemu10, copy, "-r", "all");
        Assert.Equal(asQemu, theirs.Status == 0);
        Assert.NotEqual(0, (await Outcome.OfByreAsync(path)).Outcome.Status);
        Assert.Equal(image.Bytes, await File.ReadAllBytesAsync(path));

        var (ours, text) = await Outcome.OfByreAsync(path, RepairMode.All);
        Assert.True(ours.Status == 0, text);
        Assert.Equal(0, Outcome.OfQemu(qemu10, path).Outcome.Status);
        Assert.Equal(left, string.Join(',', Snapshots(qemu10, path)));
        if (asQemu)
        {
            Assert.Equal(Snapshots(qemu10, copy), Snapshots(qemu10, path));
        }

        Assert.Equal(content, await ContentAsync(path));
        QemuImg.Must(qemu10, "snapshot", "-a", "one", path);
        QemuImg.Must(qemu10, "snapshot", "-d", "one", path);
        Assert.Equal(0, (await Outcome.OfByreAsync(path)).Outcome.Status);
    }

    [Theory]
    [InlineData("granularity", "second")]
    [InlineData("table", "second")]
    [InlineData("table entry", "second")]
    [InlineData("name", "")]
    [InlineData("directory", "")]
    [InlineData("extension", "")]
    [InlineData("count", "first,second")]
    public async Task Bitmaps_that_nothing_can_read_are_dropped_and_the_others_kept(string damage, string left)
    {
        var path = BaseImages.Make(directory, "bitmaps");
        var image = new TestImage(await File.ReadAllBytesAsync(path));
        var content = await ContentAsync(path);
        var (at, size) = image.BitmapDirectory;
        var extension = image.Bytes.AsSpan(0, 1024).IndexOf((ReadOnlySpan<byte>)[0x23, 0x85, 0x28, 0x75]);
        switch (damage)
        {
            case "granularity":
                image.Bytes[at + 17] = 60;
                break;
            case "table":
                image.Put(at, image.U64(at) + 512);
                break;
            case "table entry":
                image.Put((int)image.U64(at), 0x123);
                break;
            case "name":
                image.Bytes[at + 18] = image.Bytes[at + 19] = 0;
                break;
            case "directory":
                image.Bytes.AsSpan(at, size).Fill(0xff);
                break;
            case "extension":
                image.Put(extension + 24, image.U64(extension + 24) + 512);
                break;
            default:
                image.Bytes[extension + 11] = 5;
                break;
        }

        await File.WriteAllBytesAsync(path, image.Bytes);
        var (found, _) = await Outcome.OfByreAsync(path);
        Assert.Equal(2, found.Status);
        Assert.Equal(image.Bytes, await File.ReadAllBytesAsync(path));
        var (ours, text) = await Outcome.OfByreAsync(path, RepairMode.All);
        Assert.True(ours.Status == 0, text);
        foreach (var program in QemuImg.Programs)
        {
            Assert.Equal(0, Outcome.OfQemu(program, path).Outcome.Status);
            Assert.Equal(left, string.Join(',', Bitmaps(program, path)));
        }

        Assert.Equal(content, await ContentAsync(path));
    }

    [Theory]
    [InlineData("snapshots")]
    [InlineData("bitmaps")]
    public async Task Clusters_of_what_cannot_be_read_are_not_given_back_as_leaks(string name)
    {
        var path = BaseImages.Make(directory, name);
        var image = new TestImage(await File.ReadAllBytesAsync(path));
        if (name == "snapshots")
        {
            Spoil(image, "misaligned L1");
        }
        else
        {
            image.Bytes[image.BitmapDirectory.Offset + 17] = 60;
        }

        await File.WriteAllBytesAsync(path, image.Bytes);
        Assert.Equal(1, (await Outcome.OfByreAsync(path, RepairMode.Leaks)).Outcome.Status);
        Assert.Equal(image.Bytes, await File.ReadAllBytesAsync(path));
    }

    private static void Spoil(TestImage image, string damage)
    {
        var second = image.Snapshots + 40 + (int)image.U32(image.Snapshots + 36) + image.Bytes[image.Snapshots + 13] + image.Bytes[image.Snapshots + 15];
        second = (second + 7) & ~7;
        var extra = (int)image.U32(second + 36);
        var tail = image.Bytes[(second + 40 + extra)..(second + 40 + extra + image.Bytes[second + 13] + image.Bytes[second + 15])];
        switch (damage)
        {
            case "short":
                Extend(8);
                break;
            case "long":
                Extend(2000);
                break;
            case "far":
                BinaryPrimitives.WriteUInt32BigEndian(image.Bytes.AsSpan(second + 36), 0x7fff_0000);
                break;
            case "misaligned L1":
                image.Put(second, image.U64(second) + 512);
                break;
            case "L1 behind the end":
                image.Put(second, 1ul << 40);
                break;
            default:
                BinaryPrimitives.WriteUInt32BigEndian(image.Bytes.AsSpan(second + 8), 0x4000_0000);
                break;
        }

        void Extend(int bytes)
        {
            BinaryPrimitives.WriteInt32BigEndian(image.Bytes.AsSpan(second + 36), bytes);
            image.Bytes.AsSpan(second + 40 + Math.Min(extra, bytes), Math.Max(0, bytes - extra)).Clear();
            tail.CopyTo(image.Bytes, second + 40 + bytes);
        }
    }

    private static List<string> Snapshots(string program, string path) => Names(program, path, info =>
        info.TryGetProperty("snapshots", out var all) ? all : null);

    private static List<string> Bitmaps(string program, string path) => Names(program, path, info =>
        info.GetProperty("format-specific").GetProperty("data").TryGetProperty("bitmaps", out var all) ? all : null);

    private static List<string> Names(string program, string path, Func<JsonElement, JsonElement?> find)
    {
        var (status, output, errors) = QemuImg.Run(program, "info", "--output=json", path);
        Assert.True(status == 0, errors);
        using var json = JsonDocument.Parse(output);
        return find(json.RootElement) is { } all ? [.. all.EnumerateArray().Select(e => e.GetProperty("name").GetString()!)] : [];
    }

    private async Task<byte[]> ContentAsync(string path)
    {
        var raw = Path.Combine(directory, "content.raw");
        QemuImg.Must("qemu-img", "convert", "-O", "raw", path, raw);
        return await File.ReadAllBytesAsync(raw);
    }
}
