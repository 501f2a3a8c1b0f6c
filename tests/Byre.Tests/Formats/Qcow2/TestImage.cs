using System.Diagnostics;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Images in memory that the real qemu-img made, and what it says of what became of them.</summary>
internal static class TestImage
{
    /// <summary>Everything, so that a test may do anything.</summary>
    public static readonly PermissionSet All = new(Permissions.All, Permissions.All);

    /// <summary>An empty image.</summary>
    public static MemoryNode Create(long size, string options)
    {
        using var directory = new Scratch();
        var path = directory.File("t.qcow2");
        QemuImg($"create -q -f qcow2 -o {options} {path} {size}", Path.GetDirectoryName(path)!);
        return new MemoryNode(File.ReadAllBytes(path));
    }

    /// <summary>Opens an image in memory, as a user's edge.</summary>
    public static async Task<BlockEdge> OpenAsync(
        MemoryNode file, Qcow2OpenOptions? options = null, BlockNode? backing = null, BlockNode? dataFile = null)
    {
        options ??= new Qcow2OpenOptions();
        var edge = new BlockEdge(new KeepOpenNode(file), ChildRole.Primary | ChildRole.Metadata | (dataFile is null ? ChildRole.Data : 0), All, "file");
        var header = await Qcow2HeaderReader.ReadAsync(edge);
        var node = await Qcow2Node.OpenAsync(
            edge,
            header,
            dataFile is null ? null : new BlockEdge(new KeepOpenNode(dataFile), ChildRole.Data, All, "data-file"),
            backing is null ? null : new BlockEdge(new KeepOpenNode(backing), ChildRole.Backing, All, "backing"),
            options);
        return new BlockEdge(node, ChildRole.None, All);
    }

    /// <summary>Throws unless qemu-img check finds nothing at all.</summary>
    public static async Task CheckAsync(MemoryNode file, string what, MemoryNode? dataFile = null)
    {
        using var directory = new Scratch();
        var path = directory.File("t.qcow2");
        await SaveAsync(file, path);
        if (dataFile is not null)
        {
            await SaveAsync(dataFile, directory.File("data.raw"));
        }

        var (code, output) = Run("qemu-img", $"check -f qcow2 {path}", Path.GetDirectoryName(path)!);
        Assert.True(code == 0, $"{what}: qemu-img check ended {code}: {output}");
    }

    /// <summary>Random bytes; the same seed gives the same.</summary>
    public static byte[] Bytes(int length, int seed)
    {
        var bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>Reads a range into a new array.</summary>
    public static async Task<byte[]> ReadAsync(BlockEdge image, long offset, int length)
    {
        var bytes = new byte[length];
        await image.ReadAsync(offset, bytes);
        return bytes;
    }

    /// <summary>Writes a disk in memory to a file.</summary>
    public static async Task SaveAsync(MemoryNode file, string path)
    {
        var bytes = new byte[file.Length];
        await file.ReadAsync(0, bytes);
        await File.WriteAllBytesAsync(path, bytes);
    }

    /// <summary>Runs qemu-img; it must succeed.</summary>
    public static void QemuImg(string arguments, string directory = "")
    {
        var (code, output) = Run("qemu-img", arguments, directory);
        Assert.True(code == 0, $"qemu-img {arguments} ended {code}: {output}");
    }

    private static (int Code, string Output) Run(string program, string arguments, string directory = "")
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) 
        {
            RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = directory,
        })!;
        var error = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + error.Result);
    }

    /// <summary>A directory that is gone when the test is.</summary>
    internal sealed class Scratch : IDisposable
    {
        private readonly string path = Directory.CreateTempSubdirectory("byre-test-").FullName;

        public string File(string name) => Path.Combine(path, name);

        public void Dispose() => Directory.Delete(path, recursive: true);
    }
}
