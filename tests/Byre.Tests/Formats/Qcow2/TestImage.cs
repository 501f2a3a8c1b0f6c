using System.Diagnostics;
using Byre.Crypto;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Manage;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>Images in memory that the real qemu-img made, and what it says of what became of them.</summary>
internal static class TestImage
{
    /// <summary>The option that makes <see cref="Create"/> encrypt; the passphrase is "abc".</summary>
    public const string Encrypted = "encrypt.format=luks";

    /// <summary>Everything, so that a test may do anything.</summary>
    public static readonly PermissionSet All = new(Permissions.All, Permissions.All);

    /// <summary>An empty image.</summary>
    public static MemoryNode Create(long size, string options)
    {
        using var directory = new Scratch();
        var path = directory.File("t.qcow2");
        if (options == Encrypted || options.StartsWith(Encrypted + ',', StringComparison.Ordinal))
        {
            return CreateEncryptedAsync(size, options).GetAwaiter().GetResult();
        }

        QemuImg($"create -q -f qcow2 -o {options} {path} {size}", Path.GetDirectoryName(path)!);
        return new MemoryNode(File.ReadAllBytes(path));
    }

    /// <summary>An empty encrypted image that Byre makes: QEMU's tools take seconds to.</summary>
    private static async Task<MemoryNode> CreateEncryptedAsync(long size, string options)
    {
        var file = new MemoryNode(0);
        await using var edge = new BlockEdge(new KeepOpenNode(file), ChildRole.None, All);
        await using var data = options.Contains("data_file", StringComparison.Ordinal) ? new BlockEdge(new MemoryNode(0), ChildRole.None, All) : null;
        await Qcow2Creator.CreateAsync(edge, data, new Qcow2CreateOptions
        {
            Size = size,
            ClusterBits = options.Contains("cluster_size=4k", StringComparison.Ordinal) ? 12 : options.Contains("512", StringComparison.Ordinal) ? 9 : 16,
            Version = options.Contains("0.10", StringComparison.Ordinal) ? 2 : 3,
            ExtendedL2 = options.Contains("extended_l2", StringComparison.Ordinal),
            Preallocation = options.Contains("preallocation", StringComparison.Ordinal) ? Preallocation.Metadata : Preallocation.Off,
            DataFileName = data is null ? null : "data.raw",
            Encryption = new LuksCreateOptions
            {
                Passphrase = new SecretBytes("abc"u8),
                Cipher = new CipherSpec(CipherKind.Aes128, ModeKind.Cbc, IvKind.Plain64, null),
                IterationMilliseconds = 0,
            },
        });
        return file;
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
            header.CryptMethod == 0 ? options : options with { Passphrase = new SecretBytes("abc"u8) });
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

        var crypt = new byte[4];
        await file.ReadAsync(32, crypt);
        var image = crypt[3] == 0 ? $"-f qcow2 {path}"
            : $"--object secret,id=s,data=abc --image-opts driver=qcow2,file.filename={path},encrypt.key-secret=s";
        var (code, output) = Run("qemu-img", $"check {image}", Path.GetDirectoryName(path)!);
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
