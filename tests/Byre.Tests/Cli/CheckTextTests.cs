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
}
