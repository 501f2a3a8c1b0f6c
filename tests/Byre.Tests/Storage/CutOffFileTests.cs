using Byre.Nodes;
using Byre.Storage;

namespace Byre.Tests.Storage;

public sealed class CutOffFileTests : IDisposable
{
    private const long Before = 1L << 40;
    private const int After = 1 << 16;

    private readonly string folder = Directory.CreateTempSubdirectory("byre-cut-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task What_lies_behind_the_end_of_a_file_that_was_cut_off_is_one_hole()
    {
        var path = Path.Combine(folder, "file");
        await using var node = FileNode.Create(new FileNodeOptions { Path = path }, Before);
        await node.WriteAsync(0, Enumerable.Repeat((byte)7, 2 * After).ToArray(), WriteFlags.None);
        await using var other = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        other.SetLength(After);
        Assert.Equal(Before, node.Length);

        var extents = new ExtentList();
        extents.Reset(0, Before);
        var walk = Task.Run(async () => await node.GetExtentsAsync(extents, ExtentPrecision.Exact));
        try
        {
            await walk.WaitAsync(TimeSpan.FromSeconds(20));
        }
        finally
        {
            other.SetLength(Before); // a walk that goes on comes to its end now
        }

        Assert.Equal(
            [(0, After, ExtentState.Data), (After, Before - After, ExtentState.Zero)],
            extents.Items.ToArray().Select(e => (e.Start, e.Length, e.State)));
    }
}
