using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Copy;

/// <summary>Copies from and to block devices: they keep their length, and what was in them does not show through.</summary>
public sealed class CopyDeviceTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-copy-device-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [LoopTheory]
    [InlineData("nbdcopy holes $device && cmp -n 4194304 holes $device && cmp -i 4194304 noise $device")]
    [InlineData("nbdcopy --verify holes $device && cmp -n 4194304 holes $device")]
    [InlineData("nbdcopy --allocated --flush holes $device && cmp -n 4194304 holes $device")]
    [InlineData("nbdcopy --verify odd $device && cmp -n 130002 odd $device && cmp -i 130002 noise $device")]
    [InlineData("cat holes | nbdcopy --verify - $device && cmp -n 4194304 holes $device")]
    [InlineData("nbdcopy $device out && cmp noise out")]
    [InlineData("nbdcopy --synchronous $device - | cmp - noise")]
    [InlineData("nbdcopy -- [ nbdkit file holes ] $device && cmp -n 4194304 holes $device && cmp -i 4194304 noise $device")]
    [InlineData("truncate -s 8M out; nbdcopy --verify -- $device [ nbdkit file out ] && cmp noise out")]
    [InlineData("truncate -s 9M big; nbdcopy big $device 2>told; [ $? = 1 ] && [ $(wc -l <told) = 1 ] && grep -q 'has 8388608 bytes' told && cmp noise $device")]
    public async Task Works(string line)
    {
        await ExternalTool.RunAsync("bash", folder, Path.Combine(AppContext.BaseDirectory, "Cases", "copy-files.sh"));
        var (status, output, error) = await ExternalTool.TryRunAsync(
            "bash",
            folder,
            ["-c", $$"""
                PATH={{await ByreLinks.DirectoryAsync()}}:$PATH
                dd if=/dev/urandom of=noise bs=1M count=8 status=none; cp noise disk
                device=$(losetup -f --show disk) || { echo no device; exit 77; }
                trap 'losetup -d $device' EXIT
                {{line}}
                """]);
        if (status != 77)
        {
            Assert.True(status == 0, output + error);
            Assert.Empty(error);
        }
    }

    [LoopTheory]
    [InlineData("")]
    [InlineData("--flush")]
    public async Task A_device_that_fails_when_the_page_cache_is_written_back_fails_the_copy(string options)
    {
        var (status, output, error) = await ExternalTool.TryRunAsync(
            "unshare",
            folder,
            ["-m", "bash", "-c", $$"""
                PATH={{await ByreLinks.DirectoryAsync()}}:$PATH
                mkdir small && mount -t tmpfs -o size=16m none small && truncate -s 256M small/disk || exit 77
                device=$(losetup -f --show small/disk) || exit 77
                trap 'losetup -d $device' EXIT
                dd if=/dev/urandom of=source bs=1M count=256 status=none
                nbdcopy {{options}} source $device
                """]);
        if (status != 77)
        {
            Assert.Equal(1, status);
            Assert.Empty(output);
            Assert.Matches("^nbdcopy: .*'/dev/loop[0-9]+'.*\n$", error);
        }
    }
}
