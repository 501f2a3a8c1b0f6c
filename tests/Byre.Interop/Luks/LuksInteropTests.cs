using Byre.Interop.Cases;
using Byre.Interop.Img;
using Byre.TestTools;

namespace Byre.Interop.Luks;

/// <summary>What Byre encrypts, the real tools decrypt, and the other way round.</summary>
public sealed class LuksInteropTests : IDisposable
{
    private const string Secret = "secret,id=s,data=geheim";

    private readonly string directory = Directory.CreateTempSubdirectory("byre-luks-").FullName;

    private static string Qemu => Qemu10TheoryAttribute.Directory is { } named ? Path.Combine(named, "qemu-img") : "qemu-img";

    /// <summary>Not those whose split key is no whole number of sectors: QEMU's tools stop at an assertion.</summary>
    public static TheoryData<string> Ciphers =>
    [
        "", "cipher-alg=aes-128", "cipher-alg=aes-192,hash-alg=sha1", "cipher-mode=cbc,ivgen-alg=plain,hash-alg=sha512",
        "cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256", "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=md5",
        "cipher-mode=ctr,hash-alg=sha384", "cipher-mode=ecb,hash-alg=sha224", "cipher-alg=serpent-128",
        "cipher-alg=serpent-192", "cipher-alg=serpent-256,hash-alg=ripemd160", "cipher-alg=twofish-128,cipher-mode=cbc,ivgen-alg=plain64",
        "cipher-alg=twofish-256,hash-alg=md5", "cipher-alg=cast5-128,cipher-mode=cbc", "cipher-alg=cast5-128,cipher-mode=ctr,ivgen-alg=plain",
        "cipher-alg=serpent-256,cipher-mode=cbc,ivgen-alg=essiv",
    ];

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [MemberData(nameof(Ciphers))]
    public async Task Every_cipher_is_read_by_the_real_tool_and_written_by_it(string options)
    {
        var disk = MakeDisk();
        var all = string.Join(',', new[] { "key-secret=s,iter-time=1", options }.Where(o => o.Length > 0));
        await OursAsync("convert", "--object", Secret, "-f", "raw", "-O", "luks", "-o", all, disk, InDirectory("ours"));
        await ExternalTool.RunAsync("qemu-img", directory, "compare", "--object", Secret, "--image-opts", Raw, Luks("ours"));
        await ExternalTool.RunAsync(Qemu, directory, "compare", "--object", Secret, "--image-opts", Raw, Luks("ours"));
        if (options.Contains("hash-alg=sha1", StringComparison.Ordinal) || options.EndsWith("128", StringComparison.Ordinal))
        {
            return; // QEMU's tools take seconds to make a volume: those of its kind are made once
        }

        await ExternalTool.RunAsync(Qemu, directory, "convert", "--object", Secret, "-f", "raw", "-O", "luks", "-o", all, "disk", "theirs");
        await OursAsync("compare", "--object", Secret, "--image-opts", Raw.Replace("=disk", "=" + disk, StringComparison.Ordinal), Luks(InDirectory("theirs")));
    }

    [Theory]
    [InlineData("")]
    [InlineData("cluster_size=4k,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv")]
    [InlineData("cluster_size=64k,extended_l2=on")]
    [InlineData("compat=0.10,cluster_size=512")]
    [InlineData("encrypt.cipher-alg=serpent-256")]
    [InlineData("data_file=DIR/data")]
    public async Task An_encrypted_qcow2_image_goes_both_ways(string options)
    {
        var disk = MakeDisk();
        var all = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1" + (options.Length > 0 ? "," : "") + options.Replace("DIR", directory, StringComparison.Ordinal);
        await OursAsync("convert", "--object", Secret, "-f", "raw", "-O", "qcow2", "-o", all, disk, InDirectory("ours"));
        foreach (var tool in new[] { "qemu-img", Qemu })
        {
            await ExternalTool.RunAsync(tool, directory, "compare", "--object", Secret, "--image-opts", Raw, Qcow2("ours"));
            await ExternalTool.RunAsync(tool, directory, "check", "-q", "--object", Secret, "--image-opts", Qcow2("ours"));
        }

        // They write to ours, and we to theirs.
        await ExternalTool.RunAsync("qemu-io", directory, "--object", Secret, "-c", "write -P 7 70k 100k", "-c", "write -z 300k 64k", "--image-opts", Qcow2("ours"));
        await ExternalTool.RunAsync("qemu-io", directory, "-c", "write -P 7 70k 100k", "-c", "write -z 300k 64k", "-f", "raw", "disk");
        await OursAsync("compare", "--object", Secret, "--image-opts", Raw.Replace("=disk", "=" + disk, StringComparison.Ordinal), Qcow2(InDirectory("ours")));
        await OursAsync("check", "-q", InDirectory("ours"));

        await ExternalTool.RunAsync(Qemu, directory, "convert", "--object", Secret, "-f", "raw", "-O", "qcow2", "-o", all.Replace("/data", "/data2", StringComparison.Ordinal), "disk", "theirs");
        await OursAsync("compare", "--object", Secret, "--image-opts", Raw.Replace("=disk", "=" + disk, StringComparison.Ordinal), Qcow2(InDirectory("theirs")));
        await OursAsync("check", "-q", InDirectory("theirs"));
    }

    /// <summary>The old encryption is made by QEMU's tools alone; Byre reads it, for rescue.</summary>
    [Theory]
    [InlineData("geheim")]
    [InlineData("longer than the sixteen bytes of a key")]
    public async Task The_old_AES_encryption_is_read_and_not_written(string passphrase)
    {
        var disk = MakeDisk();
        var secret = "secret,id=s,data=" + passphrase;
        await ExternalTool.RunAsync(
            Qemu, directory, "convert", "--object", secret, "-f", "raw", "-O", "qcow2", "-o", "encrypt.format=aes,encrypt.key-secret=s", "disk", "old");
        await OursAsync("compare", "--object", secret, "--image-opts", Raw.Replace("=disk", "=" + disk, StringComparison.Ordinal), Qcow2(InDirectory("old")));
        var before = await File.ReadAllBytesAsync(InDirectory("old"));
        foreach (var words in new string[][]
        {
            ["resize", "--object", secret, "--image-opts", Qcow2(InDirectory("old")), "+1M"],
            ["create", "-f", "qcow2", "--object", secret, "-o", "encrypt.format=aes,encrypt.key-secret=s", InDirectory("new"), "1M"],
        })
        {
            var (status, _, errors) = await Tools.ByreAsync(words);
            Assert.Equal(1, status);
            Assert.Contains("the old AES encryption", errors, StringComparison.OrdinalIgnoreCase);
        }

        Assert.Equal(before, await File.ReadAllBytesAsync(InDirectory("old")));
        Assert.False(File.Exists(InDirectory("new")));
    }

    [Theory]
    [InlineData("aes-xts-plain64", "512", "sha256")]
    [InlineData("aes-cbc-essiv:sha256", "256", "sha512")]
    [InlineData("aes-ctr-plain", "128", "sha1")]
    public async Task Cryptsetup_and_Byre_open_what_the_other_made(string cipher, string bits, string hash)
    {
        await File.WriteAllBytesAsync(InDirectory("theirs"), new byte[4 << 20]);
        await File.WriteAllTextAsync(InDirectory("key"), "geheim");
        await ExternalTool.RunAsync(
            "cryptsetup", directory, "-q", "luksFormat", "--type", "luks1", "--pbkdf-force-iterations", "1000", "-c", cipher, "-s", bits, "-h", hash, "theirs", "key");
        var ours = InDirectory("plain");
        await OursAsync("convert", "--object", Secret, "-O", "raw", "--image-opts", Luks(InDirectory("theirs")), ours);
        await ExternalTool.RunAsync("qemu-img", directory, "compare", "--object", Secret, "--image-opts", "driver=raw,file.filename=plain", Luks("theirs"));

        var parts = cipher.Split('-', ':');
        var options = $"key-secret=s,iter-time=1,cipher-alg=aes-{(parts[1] == "xts" ? int.Parse(bits) / 2 : int.Parse(bits))},cipher-mode={parts[1]},ivgen-alg={parts[2]},hash-alg={hash}"
            + (parts.Length > 3 ? $",ivgen-hash-alg={parts[3]}" : "");
        await OursAsync("create", "-q", "--object", Secret, "-f", "luks", "-o", options, InDirectory("ours"), "1M");
        await ExternalTool.RunAsync("cryptsetup", directory, "luksOpen", "--test-passphrase", "--key-file", "key", "ours");
        var dump = await ExternalTool.RunAsync("cryptsetup", directory, "luksDump", "ours");
        Assert.Matches($@"Cipher mode:\s+{cipher[4..]}\n", dump);
        Assert.Matches($@"MK bits:\s+{bits}\s", dump);
        var (status, _, _) = await ExternalTool.TryRunAsync("cryptsetup", directory, ["luksOpen", "--test-passphrase", "--key-file", "-", "ours"], "wrong");
        Assert.Equal(2, status);
    }

    private static string Raw => "driver=raw,file.filename=disk";

    private static string Luks(string name) => $"driver=luks,key-secret=s,file.filename={name}";

    private static string Qcow2(string name) => $"driver=qcow2,encrypt.key-secret=s,file.filename={name}";

    private static async Task OursAsync(params string[] words)
    {
        var (status, output, errors) = await Tools.ByreAsync(words);
        Assert.True(status == 0, $"{string.Join(' ', words)}: {output}{errors}");
    }

    private string MakeDisk()
    {
        var bytes = new byte[600 << 10];
        new Random(8).NextBytes(bytes);
        bytes.AsSpan(200 << 10, 150 << 10).Clear();
        File.WriteAllBytes(InDirectory("disk"), bytes);
        return InDirectory("disk");
    }

    private string InDirectory(string name) => Path.Combine(directory, name);
}
