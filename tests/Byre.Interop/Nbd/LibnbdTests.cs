namespace Byre.Interop.Nbd;

/// <summary>
/// Scripts for libnbd's Python module: each asserts what any client may rely on, and sees of Byre's server what it sees of qemu-nbd.
/// </summary>
public sealed class LibnbdTests : IDisposable
{
    private readonly NbdComparison comparison = new();

    public void Dispose() => comparison.Dispose();

    [Theory]
    [InlineData("raw")]
    [InlineData("raw-tail")]
    [InlineData("raw-offset")]
    [InlineData("raw-read-only")]
    [InlineData("plain")]
    [InlineData("chain")]
    [InlineData("chain-without-backing")]
    [InlineData("over-raw")]
    [InlineData("extended-l2")]
    [InlineData("zstd")]
    [InlineData("luks")]
    [InlineData("snapshot")]
    [InlineData("external-data")]
    [InlineData("bitmaps")]
    [InlineData("huge")]
    public Task Every_command_does_the_same(string image) => comparison.SameAsync(
        image,
        (image == "luks" ? "LEAST=512 " : "") + "/usr/bin/python3 $scripts/commands.py \"$uri\" $specification",
        """
        qemu-img convert $local -O raw copy.raw && sha256sum copy.raw
        case "$local" in *qcow2*) qemu-img check ${local/-f qcow2/} | sed '/allocated\|end offset/d';; esac
        """);

    [Theory]
    [InlineData("raw")]
    [InlineData("chain")]
    [InlineData("bitmaps")]
    [InlineData("bitmap-of-backing")]
    [InlineData("empty")]
    public Task Every_option_answers_the_same(string image) => comparison.SameAsync(
        image,
        "/usr/bin/python3 $scripts/options.py \"$uri\" \"$export\" $specification");

    /// <summary>FAST_ZERO of a part of a cluster succeeds where the cluster reads as zeroes already, in whatever layer that is said.</summary>
    [Theory]
    [InlineData("raw")]
    [InlineData("plain")]
    [InlineData("chain")]
    [InlineData("chain-without-backing")]
    [InlineData("over-raw")]
    [InlineData("extended-l2")]
    [InlineData("empty")]
    public Task Fast_zeroes_succeed_where_they_do_for_QEMU(string image) => comparison.SameAsync(
        image,
        "/usr/bin/python3 $scripts/fast_zero.py \"$uri\"",
        "qemu-img convert $local -O raw copy.raw && sha256sum copy.raw");

    /// <summary>What libnbd 1.14 cannot send: extended headers, the payload filter, unknown options and commands.</summary>
    [Theory]
    [InlineData("raw")]
    [InlineData("chain")]
    [InlineData("extended-l2")]
    [InlineData("huge")]
    public Task Extended_headers_answer_the_same(string image)
    {
        const string script = "/usr/bin/python3 $scripts/extended.py $socket \"$export\" $specification";
        return NbdServers.Newer is null ? comparison.OursAsync(image, script) : comparison.SameAsync(image, script); // 7.2 has none
    }
}
