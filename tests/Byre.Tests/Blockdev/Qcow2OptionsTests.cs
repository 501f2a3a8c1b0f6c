using Byre.Blockdev.Open;
using Byre.Blockdev.Options;
using Byre.Formats.Qcow2;
using Byre.Nodes;

namespace Byre.Tests.Blockdev;

public class Qcow2OptionsTests
{
    [Theory]
    [InlineData("", OverlapChecks.Cached)]
    [InlineData("overlap-check=none", OverlapChecks.None)]
    [InlineData("overlap-check=constant", OverlapChecks.Constant)]
    [InlineData("overlap-check=cached", OverlapChecks.Cached)]
    [InlineData("overlap-check=all", OverlapChecks.All)]
    [InlineData("overlap-check.template=all", OverlapChecks.All)]
    [InlineData("overlap-check.template=none,overlap-check.bitmap-directory=on", OverlapChecks.BitmapDirectory)]
    [InlineData("overlap-check=none,overlap-check.inactive-l2=on,overlap-check.main-header=on", OverlapChecks.InactiveL2 | OverlapChecks.MainHeader)]
    [InlineData("overlap-check.active-l2=off", OverlapChecks.Cached & ~OverlapChecks.ActiveL2)]
    [InlineData("overlap-check=all,overlap-check.snapshot-table=off,overlap-check.inactive-l1=off", OverlapChecks.All & ~OverlapChecks.SnapshotTable & ~OverlapChecks.InactiveL1)]
    public void Templates_and_single_keys(string options, OverlapChecks expected) =>
        Assert.Equal(expected, Take(options).OverlapChecks);

    [Fact]
    public void Caches_are_tuned()
    {
        var defaults = Take("");
        Assert.Null(defaults.L2SliceBytes);
        Assert.Equal(TimeSpan.FromMinutes(10), defaults.CacheCleanInterval);
        var options = Take("l2-cache-entry-size=2k,cache-clean-interval=7,l2-cache-size=5M,refcount-cache-size=1M,discard-no-unref=on");
        Assert.Equal(2048, options.L2SliceBytes);
        Assert.Equal(TimeSpan.FromSeconds(7), options.CacheCleanInterval);
        Assert.Equal((5L << 20, 1L << 20), (options.L2CacheBytes, options.RefcountCacheBytes));
        Assert.True(options.DiscardNoUnref);
        Assert.Equal(TimeSpan.Zero, Take("cache-clean-interval=0").CacheCleanInterval);
    }

    [Theory]
    [InlineData("l2-cache-entry-size=256")]
    [InlineData("l2-cache-entry-size=128k")]
    [InlineData("l2-cache-entry-size=3000")]
    [InlineData("cache-clean-interval=-1")]
    [InlineData("cache-clean-interval=5000000")]
    [InlineData("overlap-check=some")]
    [InlineData("overlap-check=none,overlap-check.template=all")]
    [InlineData("overlap-check.something=on")]
    public void What_cannot_be_is_refused(string options) =>
        Assert.Equal(ErrorCode.Invalid, Assert.Throws<BlockException>(() => Take(options)).Code);

    private static Qcow2OpenOptions Take(string options)
    {
        var set = options.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(o => o.Split('=')).ToDictionary(o => o[0], o => o[1]);
        return Qcow2Options.Take(new OptionSet(set), new NodeSettings(), clusterSize: 65536, version: 3, forCheck: false);
    }
}
