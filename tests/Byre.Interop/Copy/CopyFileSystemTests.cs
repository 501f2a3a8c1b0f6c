using Byre.Interop.Cases;
using Byre.Interop.Conversion;
using Byre.TestTools;

namespace Byre.Interop.Copy;

/// <summary>Copies into files that leave the page cache while they are written, on file systems that write back in their own ways.</summary>
public sealed class CopyFileSystemTests : IDisposable
{
    private const string Btrfs = "mkfs.btrfs -q";
    private const string Xfs = "mkfs.xfs -q";

    private readonly string folder = Directory.CreateTempSubdirectory("byre-copy-system-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [LoopMountTheory(Btrfs, "600M")]
    [InlineData("", "")]
    [InlineData("nodatacow", "--flush")]
    [InlineData("compress=zstd", "")]
    public Task On_btrfs_the_bytes_are_the_sources(string mounted, string options) => CopyAsync(Btrfs, mounted, options);

    [LoopMountTheory(Xfs, "600M")]
    [InlineData("", "")]
    [InlineData("", "--flush --allocated")]
    public Task On_xfs_the_bytes_are_the_sources(string mounted, string options) => CopyAsync(Xfs, mounted, options);

    [LoopMountTheory(Btrfs, "600M")]
    [InlineData("")]
    [InlineData("--flush")]
    public Task On_btrfs_a_write_back_that_fails_fails_the_copy(string options) => FailAsync(Btrfs, options);

    [LoopMountTheory(Xfs, "600M")]
    [InlineData("")]
    [InlineData("--flush")]
    public Task On_xfs_a_write_back_that_fails_fails_the_copy(string options) => FailAsync(Xfs, options);

    private async Task CopyAsync(string make, string mounted, string options)
    {
        using var mount = new LoopMount(make, "600M", mounted);
        var (status, _, error) = await ExternalTool.TryRunAsync(
            "bash",
            folder,
            ["-c", $$"""
                set -e; PATH={{await ByreLinks.DirectoryAsync()}}:$PATH
                dd if=/dev/urandom of=source bs=1M count=160 status=none; fallocate -p -o 10M -l 30M source
                nbdcopy {{options}} source '{{mount.Path}}/target'
                cmp source '{{mount.Path}}/target'
                """]);
        Assert.Equal((0, ""), (status, error));
        LoopMount.Shell($"sync -f '{mount.Path}'; echo 1 >/proc/sys/vm/drop_caches; cmp '{folder}/source' '{mount.Path}/target'");
    }

    /// <summary>The file system is larger than what it lies on, so that nothing fails before data are written back.</summary>
    private async Task FailAsync(string make, string options)
    {
        var (status, output, error) = await ExternalTool.TryRunAsync(
            "unshare",
            folder,
            ["-m", "bash", "-c", $$"""
                PATH={{await ByreLinks.DirectoryAsync()}}:$PATH:/usr/sbin:/sbin
                mkdir small m && mount -t tmpfs -o size=150m none small && truncate -s 600M small/disk || exit 77
                {{make}} small/disk >/dev/null 2>&1 && mount -o loop small/disk m || exit 77
                trap 'umount m' EXIT
                dd if=/dev/urandom of=source bs=1M count=256 status=none
                nbdcopy {{options}} source m/target
                status=$?
                [ -e m/target ] && echo the target is left
                exit $status
                """]);
        Assert.Equal((1, ""), (status, output));
        Assert.Matches("^nbdcopy: .*'m/target'.*\n$", error);
    }
}
