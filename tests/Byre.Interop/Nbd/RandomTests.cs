using System.Globalization;

namespace Byre.Interop.Nbd;

/// <summary>
/// The same random writes, zeroes and trims go to Byre's server and to qemu-nbd, on copies of the same image: both hold what was
/// written, and the images are sound. BYRE_SEED is the first seed, BYRE_ROUNDS how many there are.
/// </summary>
public sealed class RandomTests : IDisposable
{
    private readonly NbdComparison comparison = new();

    public void Dispose() => comparison.Dispose();

    [Theory]
    [InlineData("raw", 1)]
    [InlineData("plain", 2)]
    [InlineData("chain", 3)]
    [InlineData("extended-l2", 4)]
    [InlineData("luks", 5)]
    [InlineData("external-data", 6)]
    [InlineData("bitmaps", 7)]
    public async Task Both_hold_what_was_written(string image, int kind)
    {
        var first = Number("BYRE_SEED", kind);
        for (var seed = first; seed < first + Number("BYRE_ROUNDS", 1); seed++)
        {
            var output = await comparison.SameAsync(
                image,
                $"""
                echo seed {seed}; /usr/bin/python3 $scripts/random_writes.py "$uri" {seed} 200
                nbdcopy "$uri" served.raw; nbdinfo --map=qemu:dirty-bitmap:coarse "$uri" 2>/dev/null || true
                """,
                """
                qemu-img convert $local -O raw after.raw; cmp after.raw served.raw; sha256sum after.raw
                case "$local" in *qcow2*) qemu-img check ${local/-f qcow2/} | sed '/allocated\|end offset/d';; esac
                """);
            Assert.DoesNotContain("Error", output, StringComparison.Ordinal);
        }
    }

    private static int Number(string variable, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var number) ? number : otherwise;
}
