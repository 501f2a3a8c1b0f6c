using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Copy;

/// <summary>What copies of files and pipes do that nbdcopy does not, or does worse.</summary>
public sealed class CopyFileTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-copy-file-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("cat holes | nbdcopy - out; cmp holes out && [ $(stat -c %b out) -lt 4000 ]")] // a pipe into a new file
    [InlineData("cat holes | nbdcopy - - >out; cmp holes out")]
    [InlineData("cat tail | nbdcopy - long; cmp tail long")]
    [InlineData("nbdcopy /dev/null out; cmp empty out")]
    [InlineData("nbdcopy holes - >>odd; tail -c +$((100001 + 30001 + 1)) odd | cmp - holes")] // what is there stays
    [InlineData("{ echo head; nbdcopy odd -; echo foot; } >out; { echo head; cat odd; echo foot; } | cmp - out")]
    [InlineData("{ head -c 1000 >first; nbdcopy - out; } <data; cat first out | cmp - data")]
    [InlineData("nbdcopy --allocated holes out; cmp holes out && [ $(stat -c %b out) -ge 8192 ]")]
    [InlineData("nbdcopy -S 0 holes out; cmp holes out && [ $(stat -c %b out) -ge 2432 ]")] // the data of zeroes is data
    [InlineData("nbdcopy --verify holes out && nbdcopy --verify odd long && cat tail | nbdcopy --verify - out && cmp tail out")]
    [InlineData("qemu-img convert -O qcow2 holes q; nbdcopy -f qcow2 q out && cmp holes out")]
    [InlineData("qemu-img convert -O qcow2 holes q; nbdcopy q out && cmp q out")] // no format is looked for
    [InlineData("qemu-img create -q -f qcow2 q 5M; nbdcopy --verify -F qcow2 holes q && qemu-img compare -f raw -F qcow2 holes q")]
    [InlineData("qemu-img create -q -f qcow2 q 4M; cat holes | nbdcopy --verify -F qcow2 - q && qemu-img compare -f raw -F qcow2 holes q")]
    [InlineData("qemu-img convert -O qcow2 holes q; nbdcopy --image-opts driver=qcow2,file.filename=q - | cmp - holes")]
    [InlineData("qemu-img convert -O qcow2 holes q; nbdcopy 'json:{\"driver\":\"qcow2\",\"file.filename\":\"q\"}' out && cmp out holes")]
    [InlineData("truncate -s 1T huge; nbdcopy huge out && [ $(stat -c %s out) = 1099511627776 ] && [ $(stat -c %b out) -lt 100 ]")]
    [InlineData("nbdcopy --verify -v holes out 2>told; grep -q 'read back and holds' told")]
    [InlineData("for fd in 3 $(seq 30 60); do timeout 20 nbdcopy --progress=$fd data out && cmp data out || exit 1; rm out; done")] // none of them was given
    [InlineData("nbdcopy --progress=7 data out 7>log && [ \"$(tail -n 1 log)\" = 100/100 ]")]
    [InlineData("nbdcopy -p data out 2>&1 >/dev/null | tail -c 49 | grep -q '100% .*[*]]$'")]
    public async Task Works(string line)
    {
        var (status, output, error) = await RunAsync(line);
        Assert.True(status == 0, output + error);
        Assert.Empty(error);
    }

    [Theory]
    [InlineData("nbdcopy data data; status=$?; cmp data keep || exit 99; exit $status", "'data' is read by this copy: it cannot be its destination too")]
    [InlineData("ln -s data l; nbdcopy l data; status=$?; cmp data keep || exit 99; exit $status", "'data' is read by this copy: it cannot be its destination too")]
    [InlineData("nbdcopy - data <data; status=$?; cmp data keep || exit 99; exit $status", "'data' is read by this copy: it cannot be its destination too")]
    [InlineData("nbdcopy . out", "Could not open '.': it is a directory")]
    [InlineData("nbdcopy data /dev/full", "error while writing at byte 0: Could not write to '/dev/full': No space left on device")]
    [InlineData("nbdcopy data full/out; status=$?; ls full; exit $status", "error while writing at byte ")]
    [InlineData("cat data | nbdcopy - full/out; status=$?; ls full; exit $status", "error while writing at byte ")]
    [InlineData("cp short full/out; nbdcopy data full/out; status=$?; [ -s full/out ] && echo rest; exit $status", "error while writing at byte ")]
    [InlineData("qemu-img create -q -f qcow2 q 1M; nbdcopy -F qcow2 data q", "'q' has 1048576 bytes; 'data' has 3145728")]
    [InlineData("qemu-img create -q -f qcow2 q 1M; cat data | nbdcopy -F qcow2 - q", "The target has 1048576 bytes, and there is more to be copied.")]
    [InlineData("nbdcopy -F qcow2 data q", "Could not open 'q': No such file or directory")]
    [InlineData("nbdcopy -f qcow2 data out", "Could not open 'data': ")]
    [InlineData("nbdcopy -f nonsense data out", "Could not open 'data': Unknown driver 'nonsense'")]
    [InlineData("nbdcopy --verify data - | cat >/dev/null; exit ${PIPESTATUS[0]}", "--verify: '-' is a stream, and cannot be read back")]
    [InlineData("mkfifo pipe; timeout 20 nbdcopy --verify data pipe", "--verify: 'pipe' is a stream, and cannot be read back")] // nobody has to open it
    [InlineData("nbdcopy nbd+vsock://2:1/ out", "'nbd+vsock://2:1/' names no NBD export: ")]
    [InlineData("nbdcopy --verify data null:", "--verify: what is written to null: cannot be read back")]
    [InlineData("nbdcopy --image-opts -f raw file.filename=data out", "--image-opts and -f exclude each other")]
    [InlineData("nbdcopy -f raw - out <data", "-f: '-' is no image")]
    [InlineData("nbdcopy -F raw data null:", "-F: 'null:' is no image")]
    [InlineData("nbdcopy -- [ no-such-command ] out", "There is no command 'no-such-command'")]
    [InlineData("nbdcopy -- data [ ./data ]", "There is no command './data'")]
    [InlineData("nbdcopy data out <&- >&- --object secret,id=", "--object: the 'secret' lacks an id")]
    [InlineData("nbdcopy - out <&-", "Could not open 'standard input': Bad file descriptor")]
    [InlineData("nbdcopy data - >&-", "Could not open 'standard output': Bad file descriptor")]
    public async Task Fails_with_one_line(string line, string message)
    {
        var (status, output, error) = await RunAsync("cp data keep; " + line);
        Assert.Equal(1, status);
        Assert.Empty(output);
        Assert.StartsWith("nbdcopy: " + message, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
    }

    private async Task<(int Status, string Output, string Error)> RunAsync(string line)
    {
        await ExternalTool.RunAsync("bash", folder, Path.Combine(AppContext.BaseDirectory, "Cases", "copy-files.sh"));
        var script = $"PATH={await ByreLinks.DirectoryAsync()}:$PATH\n{line}";
        return line.Contains("full/", StringComparison.Ordinal)
            ? await ExternalTool.TryRunAsync("unshare", folder, ["-m", "bash", "-c", "mkdir -p full; mount -t tmpfs -o size=2m none full || exit 98\n" + script])
            : await ExternalTool.TryRunAsync("bash", folder, ["-c", script]);
    }
}
