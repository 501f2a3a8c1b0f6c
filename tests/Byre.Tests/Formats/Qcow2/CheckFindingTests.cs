using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Tests.Formats.Qcow2;

/// <summary>What a check says about what it has found, and what a repair does about it.</summary>
public sealed class CheckFindingTests
{
    private const int ClusterSize = CheckImage.ClusterSize;
    private const int Autoclear = 88;

    [Fact]
    public async Task A_finding_in_an_L2_table_tells_the_entry_and_the_part_of_the_disk()
    {
        var image = new CheckImage();
        image.Put(CheckImage.L2 + 24, 8 * ClusterSize);
        var finding = Assert.Single((await image.CheckAsync()).Findings);
        Assert.Equal(
            (CheckFindingKind.CopiedFlag, CheckSeverity.Corruption, 1L, CheckImage.L2 + 24L, 3L * ClusterSize, CheckTable.L2, 3L, CheckRemedy.SetCopiedFlag),
            (finding.Kind, finding.Severity, finding.Count, finding.Offset, finding.GuestOffset, finding.Table, finding.Index, finding.Remedy));
    }

    [Fact]
    public async Task What_lies_behind_the_end_has_no_remedy_and_is_named_after_a_repair()
    {
        var image = new CheckImage();
        image.Put(CheckImage.L2 + 64, (100 * ClusterSize) | CheckImage.Copied);
        var report = await image.CheckAsync(RepairMode.All);
        var finding = Assert.Single((await image.CheckAsync()).Findings, f => f.Kind == CheckFindingKind.OutOfFile);
        Assert.Equal((CheckRemedy.None, 8L * ClusterSize), (finding.Remedy, finding.GuestOffset));
        Assert.Equal((100 * ClusterSize) | CheckImage.Copied, image.Get(CheckImage.L2 + 64) | CheckImage.Copied);
        Assert.NotEqual(0, report.Corruptions);
    }

    [Theory]
    [InlineData(48, 12345ul)]
    [InlineData(48, 0x7fff_ffff_ffff_f000ul)]
    [InlineData(48, 1ul << 40)]
    [InlineData(56, ulong.MaxValue)]
    public async Task A_refcount_table_that_is_nowhere_is_made_anew(int field, ulong value)
    {
        var image = new CheckImage();
        var data = image.Bytes[(5 * ClusterSize)..];
        image.Put(field, value);
        image.Put(60, 0); // what follows the table's length
        var found = await image.CheckAsync();
        Assert.Contains(found.Findings, f => f is { Remedy: CheckRemedy.RebuildRefcounts, Severity: CheckSeverity.Corruption });
        var report = await image.CheckAsync(RepairMode.All);
        Assert.Equal((0L, 0L, null), (report.Corruptions, report.Leaks, report.Aborted));
        Assert.Equal(data, image.Bytes[(5 * ClusterSize)..(13 * ClusterSize)]);
    }

    [Fact]
    public async Task A_claim_to_be_all_zeroes_is_looked_into_and_taken_back()
    {
        var image = new CheckImage();
        image.Put(Autoclear, (ulong)AutoclearFeatures.AllZero);
        Assert.Empty((await image.CheckAsync()).Findings); // all its data is zeroes
        image.Bytes[(7 * ClusterSize) + 5] = 1;
        var finding = Assert.Single((await image.CheckAsync()).Findings);
        Assert.Equal(
            (CheckFindingKind.NotAllZero, CheckRemedy.ClearFeature, (7L * ClusterSize) + 5), (finding.Kind, finding.Remedy, finding.Offset));
        var report = await image.CheckAsync(RepairMode.All);
        Assert.Equal((0L, 1L), (report.Corruptions, report.CorruptionsFixed));
        Assert.Equal(0ul, image.Get(Autoclear));
    }

    [Fact]
    public async Task Where_the_snapshot_table_is_nowhere_no_count_is_lowered_and_no_flag_set()
    {
        var image = new CheckImage();
        image.SetRefcount(6, 2); // a snapshot has it too
        image.Put(CheckImage.L2 + 8, 6 * ClusterSize);
        image.Put(60, (1ul << 32) + 0);
        image.Put(64, 0x1234);
        foreach (var mode in new[] { RepairMode.Leaks, RepairMode.All })
        {
            var report = await image.CheckAsync(mode);
            Assert.Contains("cannot be read", report.Aborted, StringComparison.Ordinal);
            Assert.Contains(report.Findings, f => f is { Kind: CheckFindingKind.SnapshotTable, Remedy: CheckRemedy.None });
            Assert.Equal(2, image.Bytes[CheckImage.Block + 13]);
            Assert.Equal(6ul * ClusterSize, image.Get(CheckImage.L2 + 8));
        }
    }

    [Fact]
    public async Task Refcounts_made_anew_keep_what_a_snapshot_table_that_is_nowhere_may_need()
    {
        var image = new CheckImage();
        image.SetRefcount(6, 2);
        image.Put(CheckImage.L2 + 8, 6 * ClusterSize);
        image.Put(60, (1ul << 32) + 0);
        image.Put(64, 0x1234);
        image.Put(ClusterSize + 8, 512); // a second block that cannot be
        await image.CheckAsync(RepairMode.All);
        var table = (int)image.Get(48);
        Assert.NotEqual(ClusterSize, table);
        Assert.Equal(2, image.Bytes[(int)image.Get(table) + 13]);
        Assert.Equal(6ul * ClusterSize, image.Get(CheckImage.L2 + 8));
    }

    [Fact]
    public async Task Opening_an_image_that_was_not_closed_drops_nothing()
    {
        var image = new CheckImage(IncompatibleFeatures.Dirty);
        image.Put(Autoclear, (ulong)AutoclearFeatures.Bitmaps);
        image.Put(112, ((ulong)HeaderExtensionTypes.Bitmaps << 32) + 24);
        image.Put(120, 1ul << 32);
        image.SetRefcount(9, 0);
        var bytes = (byte[])image.Bytes.Clone();
        var e = await Assert.ThrowsAsync<BlockException>(image.RepairDirtyAsync);
        Assert.Contains("only a repair that is asked for", e.Message, StringComparison.Ordinal);
        Assert.Equal(bytes, image.Bytes);
        Assert.Equal(0, (await image.CheckAsync(RepairMode.All)).Corruptions);
    }

    [Fact]
    public async Task The_clusters_of_a_LUKS_header_are_in_use()
    {
        var image = new CheckImage();
        image.Put(CheckImage.L2 + 56, 0); // cluster 12 is nobody's now
        Assert.Equal(1, (await image.CheckAsync()).Leaks);
        image.Put(112, ((ulong)HeaderExtensionTypes.FullDiskEncryption << 32) + 16);
        image.Put(120, 12 * ClusterSize);
        image.Put(128, 1000);
        var report = await image.CheckAsync();
        Assert.Equal((0L, 0L), (report.Corruptions, report.Leaks));
        var note = Assert.Single(report.Findings); // the image has no LUKS
        Assert.Equal((CheckFindingKind.HeaderField, CheckSeverity.Note, 0L), (note.Kind, note.Severity, note.Count));
    }

    [Fact]
    public async Task Snapshots_with_one_id_are_told_and_no_corruption()
    {
        var image = new CheckImage();
        var table = 12 * ClusterSize;
        image.Put(CheckImage.L2 + 56, 0); // cluster 12 has the table
        image.Put(60, 2ul << 32);
        image.Put(64, (ulong)table);
        var entry = new SnapshotEntry { L1Offset = 0, L1Entries = 0, Id = "1", Name = "one" };
        entry.Write(image.Bytes.AsSpan(table), 1 << 20);
        entry.Write(image.Bytes.AsSpan(table + entry.Length), 1 << 20);
        var report = await image.CheckAsync();
        Assert.Equal((0L, 0L), (report.Corruptions, report.Leaks));
        Assert.Equal((CheckFindingKind.DuplicateSnapshot, 1L), (Assert.Single(report.Findings).Kind, report.Findings[0].Index));
    }
}
