using Byre.Interop.Cases;

namespace Byre.Interop.Nbd;

/// <summary>
/// The chain of the thread on joint allocation: base has A, B and C in its four clusters, top has D over B, a zero cluster over C,
/// and nothing else; its bitmap b knows of D. Each context is asked for by its raw numbers, from Byre and from qemu-nbd.
/// </summary>
public sealed class ThreadChainTests : IDisposable
{
    private const string Known = "base:allocation qemu:allocation-depth qemu:dirty-bitmap:b";
    private const string Own = "qemu:joint-allocation byre:joint";

    private readonly NbdComparison comparison = new();

    public void Dispose() => comparison.Dispose();

    [Theory]
    [InlineData("thread-chain", """
        base:allocation 131072:0 131072:3
        qemu:allocation-depth 65536:2 131072:1 65536:0
        qemu:dirty-bitmap:b 65536:0 65536:1 131072:0

        """)]
    [InlineData("thread-chain-without-backing", """
        base:allocation 65536:3 65536:0 131072:3
        qemu:allocation-depth 65536:0 131072:1 65536:0
        qemu:dirty-bitmap:b 65536:0 65536:1 131072:0

        """)]
    public async Task The_contexts_of_QEMU_are_as_it_tells_them(string image, string expected) =>
        Assert.Equal(expected, await comparison.SameAsync(image, $"/usr/bin/python3 $scripts/contexts.py \"$uri\" {Known}"));

    [Theory]
    [InlineData("thread-chain", 8)]
    [InlineData("thread-chain-without-backing", 3)]
    public async Task The_joint_contexts_tell_hole_zero_local_backing_and_dirty(string image, int first) =>
        Assert.Equal(
            $"""
            qemu:joint-allocation 65536:{first} 65536:4 65536:7 65536:3
            byre:joint 65536:{first} 65536:20 65536:7 65536:3

            """,
            await comparison.OursAsync(image, $"/usr/bin/python3 $scripts/contexts.py \"$uri\" {Own}"));

    [Theory]
    [InlineData("thread-chain")]
    [InlineData("bitmaps")]
    [InlineData("extended-l2")]
    public async Task All_contexts_at_once_are_as_each_alone(string image)
    {
        const string all = $"{Known} qemu:dirty-bitmap:fine qemu:dirty-bitmap:coarse {Own}";
        var output = await comparison.OursAsync(
            image,
            $"""
            /usr/bin/python3 $scripts/contexts.py "$uri" {all} >together
            for c in {all}; do /usr/bin/python3 $scripts/contexts.py "$uri" $c; done | diff - together; cat together
            """);

        Assert.StartsWith("base:allocation ", output, StringComparison.Ordinal);
    }

    /// <summary>The other direction: Byre's clients read of either server what libnbd's and QEMU's read.</summary>
    [Theory]
    [InlineData("thread-chain")]
    [InlineData("thread-chain-without-backing")]
    public async Task Byre_reads_the_extents_as_the_real_clients(string image) =>
        Assert.Equal("read\n", await comparison.SameAsync(
            image,
            $"""
            for c in {Known}; do
                nbdinfo --map=$c "$uri" >real; {await ByreLinks.DirectoryAsync()}/nbdinfo --map=$c "$uri" | diff real -
            done
            [ -z "$qemu10" ] || $qemu10/qemu-img map --output=json "$uri" >real # older ones print fewer words
            [ -z "$qemu10" ] || {await ByreLinks.DirectoryAsync()}/qemu-img map --output=json "$uri" | diff real -
            echo read
            """));
}
