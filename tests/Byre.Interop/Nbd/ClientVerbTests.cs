using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>The verbs of img and io print of a URI what those of QEMU 10 print, and end with the same status.</summary>
public sealed class ClientVerbTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-uri-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Qemu10Theory]
    [InlineData("raw", "")]
    [InlineData("qcow2", "")]
    [InlineData("raw", "-r")]
    public async Task A_URI_is_as_good_as_a_file(string format, string readOnly)
    {
        var real = await RunAsync(Qemu10TheoryAttribute.Directory!, "real", format, readOnly);
        var ours = await RunAsync(await ByreLinks.DirectoryAsync(), "ours", format, readOnly);
        Assert.Equal(real, ours);
    }

    private async Task<string> RunAsync(string tools, string name, string format, string readOnly)
    {
        const string script = """
            tell() { "$@" 2>/dev/null; echo "= $?"; }
            tell qemu-img info "$uri"
            tell qemu-img info "nbd:unix:$socket"
            tell qemu-img info --output json "$uri"
            tell qemu-img info --image-opts "driver=nbd,server.type=unix,server.path=$socket"
            tell qemu-img info "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"nbd\",\"path\":\"$socket\",\"export\":\"\"}}"
            tell qemu-img info -f nbd "$uri"
            tell qemu-img info "nbd+unix:///nosuch?socket=$socket"
            tell qemu-img info "nbd+unix:///?socket=$socket.not"
            tell qemu-img info nbd://127.0.0.1:1
            tell qemu-img info "nbd+unix:///"
            tell qemu-img info --image-opts driver=nbd
            tell qemu-img info --image-opts "driver=nbd,path=$socket,host=x"
            tell qemu-img info --image-opts "driver=nbd,path=$socket,color=red"
            tell qemu-img map "$uri"
            tell qemu-img map --output json "$uri"
            tell qemu-img map --output json -f raw "$uri"
            tell qemu-img map --output json --image-opts "driver=nbd,path=$socket,x-dirty-bitmap=qemu:allocation-depth"
            tell qemu-img map --output json --image-opts "driver=nbd,path=$socket,x-dirty-bitmap=qemu:dirty-bitmap:none"
            tell qemu-img check "$uri"
            tell qemu-img compare "$uri" model.raw
            tell qemu-img compare -s "$uri" model.raw
            tell qemu-img convert -O raw "$uri" copy.raw; cmp copy.raw model.raw && echo same
            tell qemu-img convert -O qcow2 "$uri" copy.qcow2; qemu-img compare copy.qcow2 model.raw
            tell qemu-img dd "if=$uri" of=dd.raw bs=64k count=20 skip=3; sha256sum <dd.raw
            tell qemu-img measure -O qcow2 "$uri"
            tell qemu-img create -f qcow2 -b "$uri" -F raw over.qcow2
            tell qemu-img info --backing-chain over.qcow2 | grep -v 'disk size'
            tell qemu-io -f raw -c 'length' "$uri"
            tell qemu-io -r -f raw -c 'read -P 5 1M 64k' -c 'map' "$uri" | grep -v ops
            tell qemu-io -f raw -c 'write -P 8 3M 64k' -c 'write -z 1M 4k' -c 'discard 2M 64k' -c flush "$uri" | grep -v ops
            tell qemu-img resize -f raw "$uri" 64M
            tell qemu-img create -f raw "$uri" 1G
            tell qemu-img create -f raw "$uri" 1M
            tell qemu-img convert -n -O raw model.raw "$uri"; tell qemu-img compare "$uri" model.raw
            tell qemu-img convert -O raw model.raw "$uri"; tell qemu-img compare "$uri" model.raw
            tell qemu-img convert -O qcow2 copy.raw "$uri"; tell qemu-img compare "$uri" model.raw
            tell qemu-img check -q "$uri"
            """;
        var own = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        await ExternalTool.RunAsync("qemu-img", own, "create", "-q", "-f", "raw", "model.raw", "4M");
        await ExternalTool.RunAsync("qemu-io", own, "-f", "raw", "-c", "write -P 5 1M 128k", "-c", "write -P 6 3M 64k", "model.raw");
        await ExternalTool.RunAsync("qemu-img", own, "convert", "-O", format, "model.raw", "disk." + format);
        string[] more = readOnly.Length > 0 ? ["-A", readOnly] : ["-A"];
        await using var server = await NbdServerProcess.StartAsync(NbdServers.Real, own, PeerServer.Qemu(own, format, "disk." + format, more));
        var (status, output, error) = await ExternalTool.TryRunAsync(
            "bash", own, ["-c", $"PATH={tools}:$PATH uri='{server.Uri()}' socket='{server.Socket}'\n{script}"]);
        Assert.True(status is 0 or 1, output + error);
        return output.Replace(own, "DIR", StringComparison.Ordinal);
    }
}
