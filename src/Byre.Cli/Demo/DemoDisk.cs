namespace Byre.Cli.Demo;

/// <summary>Makes the demo's disk: a real ext4 file system with files of this machine, and free space behind it.</summary>
internal sealed class DemoDisk(string folder, DemoScreen screen, DemoTools tools)
{
    /// <summary>The disk's length in MiB.</summary>
    public const int SizeInMebibytes = 256;

    private const int FileSystemMebibytes = 192;
    private const long Mebibyte = 1 << 20;
    private const long MostBytes = 48 * Mebibyte;
    private const int MostFiles = 3000;

    private static readonly string[] Sources = ["/usr/share/common-licenses", "/usr/share/doc", "/usr/share/perl", "/etc", AppContext.BaseDirectory];

    /// <summary>Whether the disk holds a file system, or only the files' bytes.</summary>
    public bool HasFileSystem { get; private set; }

    /// <summary>Writes the disk into a file of the demo's folder.</summary>
    public async Task MakeAsync(string name)
    {
        var disk = Path.Combine(folder, name);
        var tree = Directory.CreateDirectory(Path.Combine(folder, "files")).FullName;
        var (count, bytes) = Collect(tree);
        if (DemoTools.Find("mke2fs") is { } mke2fs)
        {
            string[] arguments = ["-q", "-F", "-t", "ext4", "-L", "byre-demo", "-d", tree, disk, $"{FileSystemMebibytes}M"];
            var (status, output) = await tools.RunAsync(mke2fs, arguments).ConfigureAwait(false);
            if (status != 0)
            {
                throw new DemoException($"mke2fs ended with status {status}: {output.Trim().ReplaceLineEndings(" ")}");
            }

            HasFileSystem = true;
        }
        else
        {
            screen.Note("mke2fs (package e2fsprogs) is not on this machine: the disk holds the files' bytes without a file system");
            await ConcatenateAsync(tree, disk).ConfigureAwait(false);
        }

        using (var file = File.OpenHandle(disk, FileMode.Open, FileAccess.Write))
        {
            RandomAccess.SetLength(file, SizeInMebibytes * Mebibyte);
        }

        Directory.Delete(tree, recursive: true);
        var what = HasFileSystem ? "an ext4 file system" : "bytes";
        screen.Found($"{name}: {SizeInMebibytes} MiB, {what} with {count} files of this machine, {bytes / Mebibyte} MiB");
    }

    /// <summary>Copies readable plain files into the tree until there are enough.</summary>
    private static (int Count, long Bytes) Collect(string tree)
    {
        var count = 0;
        long bytes = 0;
        var options = new EnumerationOptions
        {
            RecurseSubdirectories = true,
            IgnoreInaccessible = true,
            AttributesToSkip = FileAttributes.ReparsePoint | FileAttributes.Device,
        };
        foreach (var file in Sources.Where(Directory.Exists).SelectMany(source => new DirectoryInfo(source).EnumerateFiles("*", options)))
        {
            if (count >= MostFiles || bytes >= MostBytes)
            {
                break;
            }

            try
            {
                var target = Directory.CreateDirectory(Path.Combine(tree, $"{count / 100:D2}")).FullName;
                file.CopyTo(Path.Combine(target, $"{count:D4}-{file.Name}"));
                count++;
                bytes += file.Length;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // A file that this user may not read, or that is gone by now, is not part of the demo.
            }
        }

        return (count, bytes);
    }

    private static async Task ConcatenateAsync(string tree, string disk)
    {
        var target = File.Create(disk);
        await using (target.ConfigureAwait(false))
        {
            foreach (var file in Directory.EnumerateFiles(tree, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
            {
                var source = File.OpenRead(file);
                await using (source.ConfigureAwait(false))
                {
                    await source.CopyToAsync(target).ConfigureAwait(false);
                }
            }
        }
    }
}
