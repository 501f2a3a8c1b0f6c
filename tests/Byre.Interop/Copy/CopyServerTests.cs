using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Copy;

/// <summary>What copies from and to servers do that nbdcopy does not, or does worse.</summary>
public sealed class CopyServerTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-copy-server-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("nbdcopy -- [ nbdkit --filter=blocksize-policy file holes blocksize-minimum=4096 blocksize-maximum=65536 blocksize-error-policy=error ] out; cmp holes out")]
    [InlineData("truncate -s 4M out; nbdcopy -- holes [ nbdkit --filter=blocksize-policy file out blocksize-minimum=4096 blocksize-maximum=65536 blocksize-error-policy=error ]; cmp holes out")]
    [InlineData("truncate -s 1M out; nbdcopy -- odd [ nbdkit --filter=blocksize-policy file out blocksize-minimum=4096 blocksize-error-policy=error ]; truncate -s 130002 out; cmp odd out")]
    [InlineData("nbdcopy --verify -- [ nbdkit file holes ] out; cmp holes out")]
    [InlineData("nbdcopy --verify -- holes [ nbdkit file long ]; cmp -n 4194304 holes long")]
    [InlineData("cat holes | nbdcopy --verify -- - [ qemu-nbd -f raw long ]; cmp -n 4194304 holes long")]
    [InlineData("nbdcopy --allocated -- holes [ nbdkit file long ]; cmp -n 4194304 holes long && [ $(stat -c %b long) -ge 12288 ]")]
    [InlineData("nbdcopy -- [ nbdkit memory 1T ] out; [ $(stat -c %s out) = 1099511627776 ] && [ $(stat -c %b out) -lt 100 ]")]
    [InlineData("nbdcopy -- [ bash -c 'echo $$ >pid; exec nbdkit memory 1M' ] out; [ -s pid ] && ! kill -0 $(cat pid) 2>/dev/null")] // it has ended
    [InlineData("nbdcopy -- [ bash -c '[ $LISTEN_PID = $$ ] && [ $LISTEN_FDS = 1 ] && [ -S /proc/self/fd/3 ] || exit 1; ls -l /proc/self/fd >fds; exec nbdkit memory 1M' ] out; [ $(grep -c socket: fds) = 1 ]")] // it inherits no other
    [InlineData("qemu-img create -q -f qcow2 q 4M; nbdcopy -- holes [ qemu-nbd -f qcow2 q ]; qemu-img compare -f raw -F qcow2 holes q >/dev/null")] // what it wrote is written
    [InlineData("echo fred:30313233 >keys.psk; O='--object tls-creds-psk,id=t,dir=.,username=fred'; truncate -s 4M out; export O; nbdkit -U - --tls=require --tls-psk=keys.psk file out --run 'T=driver=nbd,path=$unixsocket,tls-creds=t; nbdcopy $O --target-image-opts holes $T && nbdcopy $O --image-opts $T back'; cmp holes out && cmp out back")]
    [InlineData("nbdkit -U - --filter=log file holes logfile=log --run 'nbdcopy -C 1 -f raw $uri out'; cmp holes out && [ $(grep -c ' Connect ' log) = 1 ]")] // options of the connection under a format, too
    [InlineData("nbdkit -v -U - --filter=delay memory 4M delay-open=10ms --run 'for i in 1 2 3 4 5 6; do nbdcopy -S 0 data $uri && nbdcopy $uri null: || exit 1; done' 2>log && ! grep -E 'Broken pipe|reset by peer|error' log && [ $(grep -c 'accepted connection' log) -gt 12 ]")] // connections made ahead end in order
    public async Task Works(string line)
    {
        var (status, output, error) = await RunAsync(line);
        Assert.True(status == 0, output + error);
        Assert.Empty(error);
    }

    [Theory]
    [InlineData("nbdcopy -- data [ nbdkit --filter=error file long error-pwrite-rate=100% ] 2>&1 | grep -v ^nbdkit", "nbdcopy: error while writing at byte ")]
    [InlineData("nbdcopy -- [ nbdkit --filter=error file data error-pread-rate=100% ] out 2>&1 | grep -v ^nbdkit; [ -e out ] && echo left", "nbdcopy: error while reading at byte ")]
    [InlineData("nbdcopy -- [ nbdkit eval get_size='echo 8388608' pread='if [ $4 -ge 4194304 ]; then echo EIO bad >&2; exit 1; fi; head -c $3 /dev/zero | tr \\\\0 A' ] out 2>&1 | grep -v ^nbdkit; [ -e out ] && echo left", "nbdcopy: error while reading at byte ")]
    [InlineData("nbdcopy -T 1 -- data [ nbdkit eval get_size='echo 8388608' pwrite='if [ $4 -ge 1048576 ]; then echo EIO bad >&2; exit 1; fi; cat >/dev/null' ] 2>&1 | grep -v ^nbdkit", "nbdcopy: error while writing at byte 1048576: ")]
    [InlineData("nbdcopy -- [ bash -c 'exit 3' ] out 2>&1; [ -e out ] && echo left", "nbdcopy: Failed to connect to '[ bash ... ]': ")]
    [InlineData("nbdcopy -- data [ false ] 2>&1", "nbdcopy: Failed to connect to '[ false ]': ")]
    [InlineData("nbdcopy -- [ perl -e 'open F, \"<&=3\"; accept C, F; syswrite C, \"x\" x 99; sysread C, $b, 1' ] out 2>&1; [ -e out ] && echo left", "nbdcopy: The NBD server at '[ perl ... ]' breaks the protocol: ")]
    [InlineData("nbdcopy --synchronous -- [ nbdkit eval get_size='echo 8388608' pread='kill -9 $PPID' ] out 2>&1; [ -e out ] && echo left", "nbdcopy: error while reading at byte 0: The connection to the NBD server at '[ nbdkit ... ]' is lost: ")]
    [InlineData("nbdcopy -- [ nbdkit file data ] [ nbdkit file short ] 2>&1", "nbdcopy: '[ nbdkit file short ]' has 1048576 bytes; '[ nbdkit file data ]' has 3145728")]
    public async Task Fails_with_one_line_and_leaves_nothing(string line, string message)
    {
        var (_, output, _) = await RunAsync(line);
        Assert.StartsWith(message, output, StringComparison.Ordinal);
        Assert.Equal(1, output.Count(c => c == '\n'));
    }

    private async Task<(int Status, string Output, string Error)> RunAsync(string line)
    {
        await ExternalTool.RunAsync("bash", folder, Path.Combine(AppContext.BaseDirectory, "Cases", "copy-files.sh"));
        return await ExternalTool.TryRunAsync("bash", folder, ["-c", $"PATH={await ByreLinks.DirectoryAsync()}:$PATH\n{line}"]);
    }
}
