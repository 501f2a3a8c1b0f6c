using System.Diagnostics;
using System.Formats.Asn1;
using System.Security.Cryptography.X509Certificates;
using Byre.Interop.Cases;
using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>What byre serve does and qemu-nbd does not, and where it does something else.</summary>
public sealed class ServeBeyondTests : IDisposable
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Byre.Cli");

    private readonly string folder = Directory.CreateTempSubdirectory("byre-beyond-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Several_exports_of_one_server_differ_in_all_they_can()
    {
        await MakeImagesAsync();
        await using var server = await StartAsync(
            "-t", "-e", "0", "-f", "raw", "-x", "own", "-D", "the file itself", "--export", "name=layers,file=top.q,format=qcow2,description=two layers,bitmap=b,allocation-depth=on",
            "--export", "name=driven,driver=qcow2,file.filename=base.q,read-only=on", "--export", "name=window,driver=raw,offset=1M,size=1M,file.driver=file,file.filename=b.raw,read-only=on",
            "--export", "name=part,file=b.raw,format=raw,offset=2M,size=64k,read-only=on", "--export", "name=passing,file=base.q,format=qcow2,temporary=on", "a.raw");

        var list = await RunAsync("qemu-nbd", "-L", "-k", server.Socket);
        Assert.Equal(
            ["exports available: 6", " export: 'own'", "  description: the file itself", " export: 'layers'", "  description: two layers", " export: 'driven'", " export: 'window'", " export: 'part'", " export: 'passing'"],
            list.Split('\n').Where(l => l.StartsWith("exports", StringComparison.Ordinal) || l.Contains("export:", StringComparison.Ordinal) || l.Contains("description:", StringComparison.Ordinal)));
        Assert.Equal("65536\n", await RunAsync("nbdinfo", "--size", server.Uri("part")));
        Assert.Contains("dirty", await RunAsync("nbdinfo", "--map=qemu:dirty-bitmap:b", server.Uri("layers")), StringComparison.Ordinal);
        Assert.Equal(0, (await TryAsync("qemu-io", "-r", "-f", "raw", "-c", "read -P 2 0 1M", server.Uri("window"))).Status);
        Assert.Equal(0, (await TryAsync("qemu-io", "-f", "raw", "-c", "write -P 9 0 64k", server.Uri("passing"))).Status);
        Assert.Equal(0, (await TryAsync("qemu-io", "-f", "raw", "-c", "write -P 9 0 64k", server.Uri("own"))).Status);
        Assert.NotEqual(0, (await TryAsync("qemu-io", "-f", "raw", "-c", "write 0 1k", server.Uri("window"))).Status);
        Assert.NotEqual(0, (await TryAsync("qemu-io", "-f", "raw", "-c", "read 0 1k", server.Uri("nosuch"))).Status);
        Assert.Equal(0, await server.StopAsync());
        Assert.Equal(0, (await TryAsync("qemu-io", "-f", "qcow2", "-c", "read -P 3 0 64k", "base.q")).Status);
        Assert.Equal(0, (await TryAsync("qemu-io", "-f", "raw", "-c", "read -P 9 0 64k", "a.raw")).Status);
    }

    [Theory]
    [InlineData("--export", "name=a")]
    [InlineData("--export", "name=a,file=none.raw,format=raw")]
    [InlineData("--export", "name=a,file=a.raw,read-only=maybe")]
    [InlineData("--export", "name=a,file=a.raw,format=raw,size=1T")]
    [InlineData("--export", "name=a,file=a.raw,format=raw", "--export", "name=a,file=b.raw,format=raw")]
    [InlineData("--export", "name=a,file=top.q,format=qcow2,bitmap=none")]
    [InlineData("-x", "b", "--export", "name=a,file=a.raw")]
    [InlineData("--stdio", "-t", "a.raw")]
    [InlineData("--stdio", "--fork", "a.raw")]
    public async Task Exports_that_cannot_be_are_refused_in_one_line(params string[] words)
    {
        await MakeImagesAsync();
        var (status, output, error) = await TryAsync(Program, ["serve", "-k", NbdServerProcess.SocketIn(folder), .. words]);
        Assert.Equal((1, ""), (status, output));
        Assert.Equal(1, error.Count(c => c == '\n'));
        Assert.StartsWith("byre serve: ", error, StringComparison.Ordinal);
        Assert.False(File.Exists(NbdServerProcess.SocketIn(folder)));
    }

    /// <summary>A bad argument is told alone: no image was opened for it, whose format would have been guessed with a warning.</summary>
    [Theory]
    [InlineData("-p", "word")]
    [InlineData("-p", "65536")]
    [InlineData("-p", "-1")]
    [InlineData("-p", "")]
    [InlineData("-b", "nosuch.invalid")]
    [InlineData("-k", "s")]
    [InlineData("-k", "/no/such/s")]
    [InlineData("-k", "/etc/passwd")]
    [InlineData("-k", "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    [InlineData("-e", "x")]
    [InlineData("-e", "-1")]
    [InlineData("--max-connections", "many")]
    [InlineData("--handshake-limit", "x")]
    [InlineData("--pid-file", "no/such/p")]
    [InlineData("--cache", "no")]
    [InlineData("--aio", "no")]
    [InlineData("--aio", "native")]
    [InlineData("--discard", "no")]
    [InlineData("--detect-zeroes", "no")]
    [InlineData("--detect-zeroes", "unmap")]
    [InlineData("-o", "x")]
    [InlineData("-l", "snapshot.foo=1")]
    [InlineData("--tls-creds", "no")]
    [InlineData("--tls-authz", "no")]
    [InlineData("--tls-hostname", "no")]
    [InlineData("--object", "no,id=x")]
    [InlineData("--object", "tls-creds-psk,id=t,endpoint=server,dir=.,priority=NONE", "--tls-creds", "t")]
    [InlineData("--selinux-label", "no")]
    [InlineData("--export", "name=a")]
    [InlineData("--nosuch")]
    public async Task A_bad_argument_is_refused_before_anything_is_opened(params string[] words)
    {
        await MakeImagesAsync();
        var (status, output, error) = await TryAsync(Program, ["serve", .. words, "a.raw"]);
        Assert.Equal((1, ""), (status, output));
        Assert.Equal(1, error.Count(c => c == '\n'));
        Assert.DoesNotContain("a.raw", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_label_that_is_refused_is_named_and_no_file_of_the_system()
    {
        await MakeImagesAsync();
        var (status, output, error) = await TryAsync(Program, "serve", "--selinux-label", "no", "-f", "raw", "a.raw");
        Assert.Equal((1, ""), (status, output));
        Assert.Matches(@"^byre serve: the system refuses the SELinux label 'no' for sockets( \(SELinux does not seem to be active here\))?\n$", error);
    }

    [Fact]
    public async Task A_client_on_standard_input_and_output_is_served()
    {
        await MakeImagesAsync();

        // nbdkit's and libnbd's way: the command's streams are a socket pair.
        var code = "import nbd,sys\nh = nbd.NBD()\nh.connect_command(sys.argv[1:])\nassert h.pread(3, 0) == b'\\1\\1\\1'\nh.pwrite(b'abc', 0)\nh.flush()\nh.shutdown()\n";
        await File.WriteAllTextAsync(Path.Combine(folder, "client.py"), code);
        await RunAsync("/usr/bin/python3", "client.py", Program, "serve", "--stdio", "-f", "raw", "a.raw");
        Assert.Equal("abc"u8.ToArray(), (await File.ReadAllBytesAsync(Path.Combine(folder, "a.raw")))[..3]);

        // Two pipes.
        await RunAsync("bash", "-c", $"mkfifo up down; '{Program}' serve --stdio -f raw a.raw <up >down & exec 8>up 9<down; head -c 18 <&9 | head -c 8; exec 8>&- 9<&-; wait $!");
    }

    [Fact]
    public async Task A_socket_is_removed_by_who_made_it_and_a_file_by_nobody()
    {
        await MakeImagesAsync();
        var path = NbdServerProcess.SocketIn(folder);
        await using (var first = await StartAsync("-t", "-r", "-f", "raw", "a.raw"))
        {
            await using var second = await StartAsync("-t", "-r", "-f", "raw", "a.raw");
            for (var watch = Stopwatch.StartNew(); (await TryAsync("nbdinfo", "--size", second.Uri())).Status != 0 && watch.Elapsed < TimeSpan.FromMinutes(1);)
            {
                await Task.Delay(20);
            }

            await Task.Delay(200); // the second one has taken the path over
            Assert.Equal(0, await first.StopAsync());
            Assert.Equal("4194304\n", await RunAsync("nbdinfo", "--size", second.Uri()));
            Assert.Equal(0, await second.StopAsync());
            Assert.False(File.Exists(path));
        }

        await File.WriteAllTextAsync(path, "precious");
        var (status, _, error) = await TryAsync(Program, "serve", "-k", path, "-f", "raw", "a.raw");
        Assert.Equal(1, status);
        Assert.Contains("is no socket", error, StringComparison.Ordinal);
        Assert.Equal("precious", await File.ReadAllTextAsync(path));
        var directory = Directory.CreateDirectory(path + "d").FullName;
        (status, _, error) = await TryAsync(Program, "serve", "-k", directory, "-f", "raw", "a.raw");
        Assert.Equal(1, status);
        Assert.Contains("is no socket", error, StringComparison.Ordinal);
        (status, _, error) = await TryAsync(Program, "serve", "-k", path + "e", "--pid-file", directory, "-f", "raw", "a.raw");
        Assert.Equal(1, status);
        Assert.Equal($"byre serve: Could not create '{directory}': Is a directory\n", error);
    }

    [Fact]
    public async Task A_server_in_the_background_lets_go_of_all_streams()
    {
        await MakeImagesAsync();
        var path = NbdServerProcess.SocketIn(folder);
        var (status, output, error) = await TryAsync("bash", "-c", $"'{Program}' serve --fork -t --pid-file=p -k {path} -f raw a.raw 2>&1 | cat; nbdinfo --size 'nbd+unix:///?socket={path}'; kill $(cat p)");
        Assert.Equal((0, "4194304\n", ""), (status, output, error));
    }

    [Fact]
    public async Task Rules_hold_for_users_of_keys_too()
    {
        await MakeImagesAsync();
        TlsKeys.AddKeys(Path.Combine(folder, "psk"), ("alice", "00112233445566778899aabbccddeeff"), ("bob", "ffeeddccbbaa99887766554433221100"));
        await using var server = await StartAsync(
            "-t", "--object", $"tls-creds-psk,id=t,endpoint=server,dir={folder}/psk", "--object", "authz-list,id=a,rules.0.match=al*,rules.0.format=glob,rules.0.policy=allow",
            "--tls-creds", "t", "--tls-authz", "a", "-f", "raw", "a.raw");
        Assert.Equal(0, (await ListAsync("alice")).Status);
        Assert.NotEqual(0, (await ListAsync("bob")).Status);

        Task<(int Status, string Output, string Error)> ListAsync(string user) => TryAsync(
            "qemu-nbd", "-L", "-k", server.Socket, "--object", $"tls-creds-psk,id=t,endpoint=client,dir={folder}/psk,username={user}", "--tls-creds", "t");
    }

    /// <summary>QEMU's tls-creds-anon, both ways.</summary>
    [Theory]
    [InlineData("")]
    [InlineData(",priority=NORMAL:-VERS-TLS1.3")]
    public async Task TLS_without_credentials_works_with_QEMU(string priority)
    {
        await MakeImagesAsync();
        const string client = "tls-creds-anon,id=t,endpoint=client";
        var server = $"tls-creds-anon,id=t,endpoint=server{priority}";
        await using (var ours = await StartAsync("-t", "-e", "0", "--object", server, "--tls-creds", "t", "-f", "raw", "a.raw"))
        {
            foreach (var program in new[] { NbdServers.Older, NbdServers.Newer }.OfType<string>())
            {
                var (status, output, error) = await TryAsync(program, "-L", "-k", ours.Socket, "--object", client, "--tls-creds", "t");
                Assert.True(status == 0, error + ours.Errors);
                Assert.Contains("size:  4194304", output, StringComparison.Ordinal);
            }

            Assert.NotEqual(0, (await TryAsync("qemu-nbd", "-L", "-k", ours.Socket)).Status);
        }

        await using var theirs = await NbdServerProcess.StartAsync(
            NbdServers.Real, folder, ["-k", NbdServerProcess.SocketIn(folder), "-t", "-e", "0", "--object", $"tls-creds-anon,id=t,endpoint=server", "--tls-creds", "t", "-f", "raw", "a.raw"]);
        var info = await RunAsync(
            Program, "img", "info", "--object", client + priority, "--image-opts", $"driver=nbd,server.type=unix,server.path={theirs.Socket},tls-creds=t");
        Assert.Contains("4 MiB", info, StringComparison.Ordinal);
    }

    [Qemu10Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public async Task Names_of_certificates_are_written_as_QEMU_writes_them(int seed)
    {
        await MakeImagesAsync();
        using var keys = new TlsKeys();
        var tls = keys.AddServer(Path.Combine(folder, "tls"));
        keys.AddClient(tls, RandomName(new Random(seed)));
        string[] words = [
            "-t", "--object", $"tls-creds-x509,id=t,endpoint=server,dir={tls}", "--object", "authz-simple,id=a,identity=nobody",
            "--tls-creds", "t", "--tls-authz", "a", "-f", "raw", "a.raw"];
        await using var theirs = await NbdServerProcess.StartAsync(NbdServers.Newer!, folder, ["-k", NbdServerProcess.SocketIn(folder), .. words]);
        await ConnectAsync();
        await theirs.StopAsync();
        const string before = "TLS x509 authz check for ", after = " is denied";
        var line = theirs.Errors.Split('\n').Single(l => l.Contains(before, StringComparison.Ordinal));
        var name = line[(line.IndexOf(before, StringComparison.Ordinal) + before.Length)..line.LastIndexOf(after, StringComparison.Ordinal)];

        var identity = name.Replace(",", ",,", StringComparison.Ordinal);
        words[4] = $"authz-simple,id=a,identity={identity}";
        await using var ours = await StartAsync(words);
        var (status, _, error) = await ConnectAsync();
        Assert.True(status == 0, $"seed {seed}: {name}\n{error}\n{ours.Errors}");

        Task<(int Status, string Output, string Error)> ConnectAsync() => TryAsync(
            "qemu-nbd", "-L", "-k", NbdServerProcess.SocketIn(folder), "--object", $"tls-creds-x509,id=t,endpoint=client,dir={tls}", "--tls-creds", "t",
            "--tls-hostname", "server.example");
    }

    /// <summary>Attributes of many kinds in any order, some of them several in one part, with all characters that are special in names.</summary>
    private static X500DistinguishedName RandomName(Random random)
    {
        string[] types =
        [
            "2.5.4.3", "2.5.4.4", "2.5.4.5", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.10", "2.5.4.11", "2.5.4.12", "2.5.4.13", "2.5.4.17", "2.5.4.20", "2.5.4.41",
            "2.5.4.42", "2.5.4.43", "2.5.4.44", "2.5.4.65", "0.9.2342.19200300.100.1.1", "1.2.3.4.5",
        ];
        const string characters = " ,+\"\\<>;#=abcABC019-./'()üß€";
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            for (var part = 0; part < 8; part++)
            {
                using (writer.PushSetOf())
                {
                    for (var attribute = 0; attribute <= (part % 4 == 3 ? 1 : 0); attribute++)
                    {
                        using (writer.PushSequence())
                        {
                            writer.WriteObjectIdentifier(types[random.Next(types.Length)]);
                            writer.WriteCharacterString(
                                UniversalTagNumber.UTF8String, new string([.. Enumerable.Range(0, 1 + random.Next(12)).Select(_ => characters[random.Next(characters.Length)])]));
                        }
                    }
                }
            }
        }

        return new X500DistinguishedName(writer.Encode());
    }

    private Task<NbdServerProcess> StartAsync(params IEnumerable<string> words) =>
        NbdServerProcess.StartAsync(Program, folder, ["serve", "-k", NbdServerProcess.SocketIn(folder), .. words]);

    private Task<(int Status, string Output, string Error)> TryAsync(string program, params IEnumerable<string> words) =>
        ExternalTool.TryRunAsync(program, folder, words);

    private async Task<string> RunAsync(string program, params IEnumerable<string> words)
    {
        var (status, output, error) = await TryAsync(program, words);
        return status == 0 ? output : throw new InvalidOperationException($"{program} ended with {status}: {error}");
    }

    private Task<string> MakeImagesAsync() => RunAsync(
        "bash", "-ec",
        "truncate -s 4M a.raw b.raw; qemu-io -f raw -c 'write -q -P 1 0 1M' a.raw; qemu-io -f raw -c 'write -q -P 2 1M 1M' b.raw;"
            + "qemu-img create -q -f qcow2 base.q 4M; qemu-io -f qcow2 -c 'write -q -P 3 0 2M' base.q; qemu-img create -q -f qcow2 -b base.q -F qcow2 top.q;"
            + "qemu-img bitmap --add top.q b; qemu-io -f qcow2 -c 'write -q -P 4 1M 64k' top.q");
}
