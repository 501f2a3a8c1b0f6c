using System.Text.RegularExpressions;

namespace Byre.Interop.Nbd;

/// <summary>libnbd's nbdinfo prints of an image that Byre serves what it prints when qemu-nbd serves it.</summary>
public sealed partial class NbdInfoTests : IDisposable
{
    private readonly NbdComparison comparison = new();

    public static TheoryData<string> Images => ServedImage.Names();

    public void Dispose() => comparison.Dispose();

    [Theory]
    [MemberData(nameof(Images))]
    public Task It_prints_the_same_text_and_JSON(string image) => comparison.SameAsync(
        image,
        """
        for i in '' --json; do nbdinfo $i "$uri"; echo "= $?"; nbdinfo $i --list "nbd+unix:///?socket=$socket"; echo "= $?"; done
        nbdinfo --size "$uri"; nbdinfo "nbd+unix:///missing?socket=$socket"; echo "= $?"
        """,
        ours: output => WithoutOurContexts(image == "luks" ? LeastSize().Replace(output, "${name}512") : output));

    [Theory]
    [InlineData("raw")]
    [InlineData("plain")]
    [InlineData("raw-read-only")]
    [InlineData("snapshot")]
    [InlineData("empty")]
    public Task It_answers_the_same(string image) => comparison.SameAsync(
        image,
        """
        for i in 'is read-only' 'is rotational' 'is tls' 'has structured-reply' 'can write' 'can trim' 'can zero' 'can fast-zero' 'can flush' \
            'can fua' 'can multi-conn' 'can cache' 'can df' 'can connect' 'can read'; do nbdinfo --$i "$uri"; echo "$i = $?"; done
        """);

    [Theory]
    [MemberData(nameof(Images))]
    public Task It_prints_the_same_maps(string image) => comparison.SameAsync(
        image,
        """
        for c in base:allocation qemu:allocation-depth qemu:dirty-bitmap:b qemu:dirty-bitmap:fine qemu:dirty-bitmap:coarse; do
            nbdinfo --map=$c "$uri" 2>&1 | sed 's/^nbdinfo: .*/refused/'
            nbdinfo --map=$c --totals "$uri" 2>&1 | sed 's/^nbdinfo: .*/refused/'
            nbdinfo --map=$c --json "$uri" 2>&1 | sed 's/^nbdinfo: .*/refused/'
        done
        """);

    /// <summary>Byre offers two contexts that QEMU has not; they are the last of a list.</summary>
    private static string WithoutOurContexts(string output)
    {
        var kept = output.Split('\n').Where(line => !line.Contains("qemu:joint-allocation", StringComparison.Ordinal)
            && !line.Contains("byre:joint", StringComparison.Ordinal));
        return LastComma().Replace(string.Join('\n', kept), "$1");
    }

    /// <summary>qemu-nbd wants whole sectors of an encrypted image; Byre takes any part.</summary>
    [GeneratedRegex(@"(?<name>block_size_minimum""?: )1\b")]
    private static partial Regex LeastSize();

    [GeneratedRegex(@",(\n\s*\])")]
    private static partial Regex LastComma();
}
