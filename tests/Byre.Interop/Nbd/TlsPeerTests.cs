using System.Text.RegularExpressions;
using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>TLS between Byre's tools and the servers and clients of others: what fits works in every tool, what does not is one clear line.</summary>
public sealed class TlsPeerTests : IDisposable
{
    private const string Host = "server.example";

    private readonly string folder = Directory.CreateTempSubdirectory("byre-tls-peer-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData("older", "x509")]
    [InlineData("older", "x509 one way")]
    [InlineData("older", "psk")]
    [Qemu10Data("newer", "x509")]
    [Qemu10Data("newer", "psk")]
    [InlineData("nbdkit", "x509")]
    [InlineData("nbdkit", "x509 one way")]
    [InlineData("nbdkit", "psk")]
    [InlineData("byre", "x509")]
    [InlineData("byre", "psk")]
    public async Task Our_tools_use_their_servers(string which, string kind)
    {
        MakeKeys(kind);
        await using var server = await ServeAsync(which, kind);
        await WorkAsync(await ByreLinks.DirectoryAsync(), server.Socket, kind, hasLibnbd: true);
    }

    [Theory]
    [InlineData("older", "x509")]
    [InlineData("older", "x509 one way")]
    [InlineData("older", "psk")]
    [Qemu10Data("newer", "x509")]
    [Qemu10Data("newer", "psk")]
    public async Task Their_tools_use_our_server(string which, string kind)
    {
        MakeKeys(kind);
        await using var server = await ServeAsync("byre", kind);
        var tools = which == "newer" ? Path.GetDirectoryName(NbdServers.Real)! : "/usr/bin";
        await WorkAsync(tools, server.Socket, kind, hasLibnbd: File.Exists(Path.Combine(tools, "nbdinfo")));
    }

    [Theory]
    [InlineData("older", "another authority", "certificate is not accepted")]
    [InlineData("nbdkit", "another authority", "certificate is not accepted")]
    [InlineData("older", "another host", "certificate is not accepted")]
    [InlineData("nbdkit", "another host", "certificate is not accepted")]
    [InlineData("nbdkit", "expired", "certificate is not accepted")]
    [InlineData("older", "no client certificate", "")]
    [InlineData("nbdkit", "no client certificate", "")]
    [InlineData("byre", "no client certificate", "")]
    [InlineData("older", "another key", "")]
    [InlineData("nbdkit", "another key", "")]
    [InlineData("byre", "another key", "")]
    [InlineData("older", "unknown user", "")]
    [InlineData("byre", "unknown user", "")]
    [InlineData("older", "plain", "requires TLS")]
    [InlineData("nbdkit", "plain", "requires TLS")]
    [InlineData("byre", "plain", "requires TLS")]
    [InlineData("older", "not served", "refuses to use TLS")]
    [InlineData("nbdkit", "not served", "refuses to use TLS")]
    [InlineData("byre", "not served", "refuses to use TLS")]
    public async Task What_does_not_fit_is_one_clear_line(string which, string wrong, string says)
    {
        var kind = wrong is "another key" or "unknown user" ? "psk" : wrong == "not served" ? "none" : "x509";
        MakeKeys(kind == "none" ? "x509" : kind, expired: wrong == "expired");
        await using var server = await ServeAsync(which, kind);
        var client = In("client");
        switch (wrong)
        {
            case "another authority":
                using (var others = new TlsKeys("Another authority"))
                {
                    others.AddClient(client);
                }

                break;
            case "no client certificate":
                File.Delete(Path.Combine(client, "client-cert.pem"));
                File.Delete(Path.Combine(client, "client-key.pem"));
                break;
            case "another key":
                TlsKeys.AddKeys(client, ("fred", "ffeeddccbbaa99887766554433221100"));
                break;
            case "unknown user":
                TlsKeys.AddKeys(client, ("mallory", "00112233445566778899aabbccddeeff"));
                break;
        }

        var host = wrong == "another host" ? "elsewhere.example" : Host;
        var user = wrong == "unknown user" ? "mallory" : "fred";
        var links = await ByreLinks.DirectoryAsync();
        var creds = wrong == "plain" ? "" : ",tls-creds=t" + (kind == "psk" ? "" : ",tls-hostname=" + host);
        var description = kind == "psk"
            ? $"tls-creds-psk,id=t,endpoint=client,dir={client},username={user}" : $"tls-creds-x509,id=t,endpoint=client,dir={client}";
        var uri = wrong == "plain" ? $"nbd+unix:///?socket={server.Socket}" : kind == "psk"
            ? $"nbds+unix://{user}@/?socket={server.Socket}&tls-psk-file={client}/keys.psk"
            : $"nbds+unix:///?socket={server.Socket}&tls-certificates={client}&tls-hostname={host}";
        foreach (var (program, arguments) in new (string, string[])[]
        {
            ("qemu-img", ["info", "--object", description, "--image-opts", $"driver=nbd,path={server.Socket}{creds}"]),
            ("qemu-img", ["info", uri]),
            ("qemu-io", ["-f", "raw", "-r", "-c", "read 0 512", uri]),
            ("nbdinfo", ["--size", uri]),
            ("nbdcopy", [uri, "null:"]),
        })
        {
            var (status, output, error) = await ExternalTool.TryRunAsync(Path.Combine(links, program), folder, arguments);
            Assert.True(status == 1 && output.Length == 0 && error.TrimEnd().Split('\n').Length == 1, $"{program}: {status}, {output}, {error}");
            Assert.Contains(says, error, StringComparison.Ordinal);
        }

        Assert.False(server.HasExited);
    }

    /// <summary>The words that docs/serve.md prints, with the files that it names in DIR.</summary>
    [Fact]
    public async Task What_the_document_prints_serves()
    {
        var root = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(root, "Byre.slnx")))
        {
            root = Path.GetDirectoryName(root)!;
        }

        var printed = Regex.Match(await File.ReadAllTextAsync(Path.Combine(root, "docs", "serve.md")), "`(--object tls-creds-x509[^`]*)`").Groups[1].Value;
        using var keys = new TlsKeys();
        keys.AddServer(In("DIR"), Host);
        keys.AddClient(In("DIR"));
        await File.WriteAllBytesAsync(In("disk.raw"), new byte[2 << 20]);
        await using var server = await NbdServerProcess.StartAsync(
            await NbdServers.OursAsync(), folder, PeerServer.Qemu(folder, "raw", "disk.raw", printed.Split(' ')));
        foreach (var nbdinfo in (string[])["/usr/bin/nbdinfo", Path.Combine(await ByreLinks.DirectoryAsync(), "nbdinfo")])
        {
            Assert.Equal("2097152", (await ExternalTool.RunAsync(nbdinfo, folder, "--size", $"nbds+unix:///?socket={server.Socket}&tls-certificates={In("DIR")}")).Trim());
            var (status, _, _) = await ExternalTool.TryRunAsync(nbdinfo, folder, ["--size", $"nbd+unix:///?socket={server.Socket}"]);
            Assert.Equal(1, status);
        }
    }

    /// <summary>Every tool reads what is there; one writes.</summary>
    private async Task WorkAsync(string tools, string socket, string kind, bool hasLibnbd)
    {
        var isKey = kind == "psk";
        var client = In("client");
        var description = isKey ? $"tls-creds-psk,id=t,endpoint=client,dir={client},username=fred" : $"tls-creds-x509,id=t,endpoint=client,dir={client}";
        var image = $"driver=nbd,path={socket},tls-creds=t" + (isKey ? "" : ",tls-hostname=" + Host);
        var raw = "driver=raw,file.driver=nbd,file.path=" + socket + ",file.tls-creds=t" + (isKey ? "" : ",file.tls-hostname=" + Host);
        Task<string> Run(string program, params string[] arguments) => ExternalTool.RunAsync(Path.Combine(tools, program), folder, arguments);
        Assert.Contains("2 MiB", await Run("qemu-img", "info", "--object", description, "--image-opts", image), StringComparison.Ordinal);
        await Run("qemu-io", "--object", description, "--image-opts", raw, "-c", "read -P 7 0 1M", "-c", "write -P 9 1536k 64k", "-c", "flush");
        Assert.Contains("\"zero\": true", await Run("qemu-img", "map", "--output", "json", "--object", description, "--image-opts", raw), StringComparison.Ordinal);
        await Run("qemu-img", "convert", "--object", description, "--image-opts", raw, "-O", "raw", "copy.raw");
        var expected = new byte[2 << 20];
        expected.AsSpan(0, 1 << 20).Fill(7);
        expected.AsSpan(1536 << 10, 64 << 10).Fill(9);
        Assert.Equal(expected, await File.ReadAllBytesAsync(In("copy.raw")));
        if (!hasLibnbd)
        {
            return;
        }

        var uri = isKey ? $"nbds+unix://fred@/?socket={socket}&tls-psk-file={client}/keys.psk" : $"nbds+unix:///?socket={socket}&tls-certificates={client}";
        uri += isKey || tools == "/usr/bin" ? "" : "&tls-hostname=" + Host; // libnbd of this age has no such key: localhost is in the certificate too
        Assert.Equal("2097152", (await Run("nbdinfo", "--size", uri)).Trim());
        File.Delete(In("copy.raw"));
        await Run("nbdcopy", uri, "copy.raw");
        Assert.Equal(expected, await File.ReadAllBytesAsync(In("copy.raw")));
    }

    private void MakeKeys(string kind, bool expired = false)
    {
        if (kind == "psk")
        {
            TlsKeys.AddKeys(In("client"), ("fred", "00112233445566778899aabbccddeeff"));
            TlsKeys.AddKeys(In("server"), ("fred", "00112233445566778899aabbccddeeff"));
        }
        else
        {
            using var keys = new TlsKeys();
            _ = expired ? keys.AddServer(In("server"), Host, fromDay: -1, toDay: 0) : keys.AddServer(In("server"), Host);
            keys.AddAuthority(In("client"));
            if (kind == "x509")
            {
                keys.AddClient(In("client"));
            }
        }
    }

    private async Task<NbdServerProcess> ServeAsync(string which, string kind)
    {
        var content = new byte[2 << 20];
        content.AsSpan(0, 1 << 20).Fill(7);
        await File.WriteAllBytesAsync(In("disk.raw"), content);
        await ExternalTool.RunAsync("fallocate", folder, "-p", "-o", "1M", "-l", "1M", "disk.raw");
        var server = In("server");
        if (which == "nbdkit")
        {
            string[] tls = kind switch
            {
                "psk" => ["--tls=require", $"--tls-psk={server}/keys.psk"],
                "none" => ["--tls=off"],
                _ => ["--tls=require", $"--tls-certificates={server}", .. kind == "x509" ? ["--tls-verify-peer"] : Array.Empty<string>()],
            };
            return await PeerServer.NbdkitAsync(folder, [.. tls, "file", "disk.raw"]);
        }

        var program = which switch { "older" => NbdServers.Older, "newer" => NbdServers.Real, _ => await NbdServers.OursAsync() };
        string[] words = kind switch
        {
            "psk" => ["--object", $"tls-creds-psk,id=s,endpoint=server,dir={server}", "--tls-creds", "s"],
            "none" => [],
            _ => ["--object", $"tls-creds-x509,id=s,endpoint=server,dir={server},verify-peer={(kind == "x509" ? "yes" : "no")}", "--tls-creds", "s"],
        };
        return await NbdServerProcess.StartAsync(program, folder, PeerServer.Qemu(folder, "raw", "disk.raw", words));
    }

    private string In(string name) => Path.Combine(folder, name);
}
