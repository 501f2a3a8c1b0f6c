using System.Diagnostics;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>What a check finds in an image laid out by hand, and what a repair leaves.</summary>
public sealed class CheckTests
{
    private const int ClusterSize = CheckImage.ClusterSize;
    private const ulong Copied = CheckImage.Copied;

    [Fact]
    public async Task A_sound_image_has_no_findings()
    {
        var report = await new CheckImage().CheckAsync();
        Assert.Equal(
            (0L, 0L, 0L, 8L, 0L, 0L, 256L, 13L * ClusterSize),
            (report.Corruptions, report.Leaks, report.CheckErrors, report.AllocatedClusters, report.FragmentedClusters,
                report.CompressedClusters, report.TotalClusters, report.ImageEndOffset));
        Assert.Empty(report.Findings);
        Assert.True(report.HasFragmentation);
        Assert.Null(report.Aborted);
    }

    [Fact]
    public async Task A_cluster_counted_and_not_used_is_a_leak_that_both_repairs_give_back()
    {
        foreach (var mode in new[] { RepairMode.Leaks, RepairMode.All })
        {
            var image = new CheckImage();
            image.Put(CheckImage.L2 + 8, 0);
            var report = await image.CheckAsync();
            Assert.Equal((0L, 1L), (report.Corruptions, report.Leaks));
            var finding = Assert.Single(report.Findings);
            Assert.Equal(
                (CheckFindingKind.RefcountTooHigh, CheckSeverity.Leak, 1L, 6L * ClusterSize, CheckRemedy.LowerRefcount),
                (finding.Kind, finding.Severity, finding.Count, finding.Offset, finding.Remedy));
            Assert.Contains("cluster 6", finding.Text, StringComparison.Ordinal);
            report = await image.CheckAsync(mode);
            Assert.Equal((0L, 0L, 0L, 1L), (report.Corruptions, report.Leaks, report.CorruptionsFixed, report.LeaksFixed));
            Assert.Equal(0, image.Bytes[CheckImage.Block + 13]);
        }
    }

    [Fact]
    public async Task A_cluster_used_twice_gets_its_count_and_loses_the_COPIED_flags()
    {
        var image = new CheckImage();
        image.Put(CheckImage.L2 + 8, (5 * ClusterSize) | Copied);
        var report = await image.CheckAsync();
        Assert.Equal((1L, 1L, 1L), (report.Corruptions, report.Leaks, report.FragmentedClusters / 2));
        report = await image.CheckAsync(RepairMode.All);
        Assert.Equal((0L, 0L), (report.Corruptions, report.Leaks));
        Assert.Equal(2, image.Bytes[CheckImage.Block + 11]);
        Assert.Equal(5ul * ClusterSize, image.Get(CheckImage.L2));
        Assert.Equal(5ul * ClusterSize, image.Get(CheckImage.L2 + 8));
    }

    [Fact]
    public async Task A_missing_refcount_table_is_made_anew_behind_the_end()
    {
        var image = new CheckImage(IncompatibleFeatures.Dirty | IncompatibleFeatures.Corrupt);
        image.Put(ClusterSize, 0);
        var report = await image.CheckAsync(RepairMode.Leaks);
        Assert.NotNull(report.Aborted);
        report = await image.CheckAsync(RepairMode.All);
        Assert.Equal((0L, 0L), (report.Corruptions, report.Leaks));
        Assert.True(report.CorruptionsFixed >= 12);
        Assert.Equal(13ul * ClusterSize, image.Get(48));
        Assert.Equal(0ul, image.Get(72));
    }

    [Fact]
    public async Task An_image_that_was_not_closed_is_repaired_without_a_question()
    {
        var image = new CheckImage(IncompatibleFeatures.Dirty);
        for (var i = 8; i < 13; i++)
        {
            image.SetRefcount(i, 0);
        }

        Assert.Equal(10, (await image.CheckAsync()).Corruptions); // counts and COPIED flags
        await image.RepairDirtyAsync();
        Assert.Equal(0ul, image.Get(72));
        Assert.Equal(13 * ClusterSize, image.Bytes.Length); // in place
        Assert.Equal(0, (await image.CheckAsync()).Corruptions);
    }

    [Fact]
    public async Task An_image_that_was_not_closed_and_cannot_be_repaired_stays_dirty()
    {
        var image = new CheckImage(IncompatibleFeatures.Dirty);
        image.Put(CheckImage.L2, (100 * ClusterSize) | Copied);
        var e = await Assert.ThrowsAsync<BlockException>(image.RepairDirtyAsync);
        Assert.Equal(ErrorCode.Corrupt, e.Code);
        Assert.Equal(1ul, image.Get(72));
    }

    [Fact]
    public async Task Nothing_is_written_to_a_table_that_guest_data_overlaps()
    {
        var image = new CheckImage();
        image.Put(CheckImage.L2 + 8, CheckImage.L2 | Copied); // guest data in the L2 table
        image.Put(CheckImage.L2 + 24, 8 * ClusterSize); // and a COPIED flag is missing
        var table = image.Bytes[CheckImage.L2..(CheckImage.L2 + ClusterSize)];
        var report = await image.CheckAsync(RepairMode.All);
        Assert.Contains(report.Findings, f => f.Kind == CheckFindingKind.Overlap && f.Severity == CheckSeverity.Note);
        Assert.NotEqual(0, report.Corruptions);
        Assert.Equal(table, image.Bytes[CheckImage.L2..(CheckImage.L2 + ClusterSize)]);
    }

    [Fact]
    public async Task New_refcounts_are_not_put_where_lost_clusters_were()
    {
        var image = new CheckImage();
        image.Put(ClusterSize, 0);
        image.Bytes = image.Bytes[..(11 * ClusterSize)];
        var bytes = image.Bytes;
        var report = await image.CheckAsync(RepairMode.All);
        Assert.Contains("cut off", report.Aborted, StringComparison.Ordinal);
        Assert.Equal(bytes, image.Bytes);
    }

    [Fact]
    public async Task A_preallocated_cluster_at_no_clusters_beginning_becomes_zeroes()
    {
        var image = new CheckImage();
        image.Put(CheckImage.L2 + 8, ((6 * ClusterSize) + 512) | Copied | 1);
        Assert.NotEqual(0, (await image.CheckAsync()).Corruptions);
        var report = await image.CheckAsync(RepairMode.All);
        Assert.Equal((0L, 0L), (report.Corruptions, report.Leaks));
        Assert.Equal(1ul, image.Get(CheckImage.L2 + 8));
    }

    [Fact]
    public async Task A_table_that_a_million_entries_lead_to_is_read_once()
    {
        var image = new CheckImage();
        const int L1Clusters = 2048; // 8 MiB
        var bytes = new byte[(CheckImage.Clusters + L1Clusters) * ClusterSize];
        image.Bytes.CopyTo(bytes, 0);
        image.Bytes = bytes;
        image.Put(40, CheckImage.Clusters * ClusterSize);
        image.Put(36, ((ulong)(L1Clusters * 512) << 32) | 0);
        image.Put(40, CheckImage.Clusters * ClusterSize);
        for (var i = 0; i < L1Clusters * 512; i++)
        {
            image.Put((CheckImage.Clusters * ClusterSize) + (i * 8), CheckImage.L2);
        }

        var clock = Stopwatch.StartNew();
        var report = await image.CheckAsync();
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(30), $"{clock.Elapsed}");
        Assert.Equal(8L * L1Clusters * 512, report.AllocatedClusters);
        Assert.True(report.Corruptions > 8L * L1Clusters * 512 - (8 * 65535)); // counts stop at 65535
    }

    [Fact]
    public async Task Random_damage_never_crashes_hangs_or_takes_much_memory()
    {
        var random = new Random(3);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        const int Rounds = 400;
        for (var round = 0; round < Rounds; round++)
        {
            var image = new CheckImage(round % 4 == 0 ? IncompatibleFeatures.ExtendedL2 : IncompatibleFeatures.None);
            var flips = random.Next(1, 12);
            for (var i = 0; i < flips; i++)
            {
                var used = new[] { 112, ClusterSize + 16, CheckImage.Block + 32, CheckImage.L1 + 8, CheckImage.L2 + 96 };
                var area = random.Next(5);
                var at = (area * ClusterSize) + random.Next(used[area] - (area * ClusterSize));
                image.Bytes[at] ^= (byte)(1 << random.Next(8));
            }

            try
            {
                var mode = (RepairMode)(round % 3);
                var report = await image.CheckAsync(mode);
                if (mode == RepairMode.All && report.Aborted is null)
                {
                    var again = await image.CheckAsync();
                    Assert.Equal((report.Corruptions, report.Leaks), (again.Corruptions, again.Leaks));
                }
            }
            catch (BlockException)
            {
                // the header is refused, or what a repair would have to write does not fit
            }
        }

        Assert.InRange((GC.GetTotalAllocatedBytes(precise: true) - before) / Rounds, 0, 64 << 20);
    }
}
