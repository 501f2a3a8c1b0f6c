using Byre.Cli.Img;
using Byre.Nodes;

namespace Byre.Tests.Cli;

public sealed class CheckTextTests
{
    [Fact]
    public void Errors_leaks_and_fragmentation_are_told_as_qemu_img_does()
    {
        var report = new CheckReport
        {
            Corruptions = 2,
            Leaks = 2,
            TotalClusters = 160,
            AllocatedClusters = 19,
            FragmentedClusters = 3,
            CompressedClusters = 2,
            ImageEndOffset = 2752512,
        };
        Assert.Equal(
            "\n2 errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n"
            + "\n2 leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n"
            + "19/160 = 11.88% allocated, 15.79% fragmented, 10.53% compressed clusters\nImage end offset: 2752512\n",
            CheckText.Human(report));
    }

    [Fact]
    public void Json_leaves_out_what_is_zero_but_the_check_errors()
    {
        var report = new CheckReport { TotalClusters = 160, LeaksFixed = 4, ImageEndOffset = 65536 };
        Assert.Equal(
            "{\n    \"image-end-offset\": 65536,\n    \"total-clusters\": 160,\n    \"check-errors\": 0,\n    \"leaks-fixed\": 4,\n"
            + "    \"filename\": \"a\",\n    \"format\": \"qcow2\"\n}",
            CheckText.Json(report, "a", "qcow2"));
    }

    [Fact]
    public void Findings_are_told_as_data_where_they_are_wanted()
    {
        var finding = new CheckFinding
        {
            Kind = CheckFindingKind.CopiedFlag, Severity = CheckSeverity.Corruption, Count = 1, Offset = 4096, GuestOffset = 0, Table = CheckTable.L2, Index = 0,
            Remedy = CheckRemedy.SetCopiedFlag, Text = "a \"flag\"",
        };
        var report = new CheckReport { Corruptions = 1, Findings = [finding], DroppedFindings = 7 };
        Assert.DoesNotContain("findings", CheckText.Json(report, "a", "qcow2"), StringComparison.Ordinal);
        Assert.EndsWith(
            """
                "findings": [
                    {
                        "kind": "copied-flag",
                        "severity": "corruption",
                        "count": 1,
                        "offset": 4096,
                        "guest-offset": 0,
                        "table": "l2",
                        "index": 0,
                        "repair": "set-copied-flag",
                        "text": "a \"flag\""
                    }
                ],
                "findings-dropped": 7,
                "findings-before-repair": [
                ]
            }
            """,
            CheckText.Json(report, "a", "qcow2", []),
            StringComparison.Ordinal);
    }

    /// <summary>Programs read these: a new one may come, none may change.</summary>
    [Fact]
    public void The_names_of_findings_are_stable()
    {
        static string All<T>()
            where T : struct, Enum => string.Join(' ', Enum.GetValues<T>().Select(CheckText.NameOf));
        Assert.Equal(
            "refcount-too-high refcount-too-low refcount-overflow refcount-unreadable refcount-table refcount-table-entry copied-flag reserved-bits misaligned "
            + "out-of-file compressed-entry subcluster-bitmap snapshot-table snapshot-entry duplicate-snapshot bitmap-directory bitmap-entry duplicate-bitmap "
            + "bitmap-table-entry overlap not-followed not-all-zero header-field",
            All<CheckFindingKind>());
        Assert.Equal("note leak corruption error", All<CheckSeverity>());
        Assert.Equal("header l1 l2 refcount-table snapshot-table bitmap-directory bitmap-table", All<CheckTable>());
        Assert.Equal(
            "none lower-refcount raise-refcount rebuild-refcounts set-copied-flag zero-entry mend-snapshot drop-snapshot drop-bitmap clear-feature", All<CheckRemedy>());
    }
}
