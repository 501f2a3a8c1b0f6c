using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Crash.Faults;

/// <summary>Whatever request to the file fails: bitmaps that can be trusted are right, and the image has leaks at most.</summary>
public class BitmapFaultTests
{
    private const int Size = 1 << 20;

    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    [Theory]
    [InlineData(1)]
    [InlineData(long.MaxValue)]
    public async Task No_failure_leaves_a_bitmap_that_is_wrong_and_trusted(long count)
    {
        var directory = Directory.CreateTempSubdirectory("byre-fault").FullName;
        try
        {
            var start = await BitmapSessions.MakeAsync(directory, "cluster_size=4k", Size, 4096);
            var sessions = new BitmapSessions(Size, 4096);
            var isHit = true;
            for (var n = 1; isHit; n++)
            {
                var file = new MemoryNode((byte[])start.Clone());
                using var keepFile = new KeptNode(file);
                var fault = new FaultNode(
                    new BlockEdge(file, ChildRole.Filtered | ChildRole.Primary, Everything, "file"),
                    new FaultOptions { Rules = [new FaultRule { First = n, Count = count, Errno = n % 2 == 0 ? 5 : 28 }] });
                using (var keep = new KeptNode(fault))
                {
                    try
                    {
                        await sessions.RunAsync(fault, mayFail: true);
                    }
                    catch (BlockException)
                    {
                        // The file itself could not be flushed in the end.
                    }

                    isHit = fault.Hits > 0;
                    fault.Clear();
                }

                var problem = await sessions.ProblemAsync(file, isClosed: !isHit);
                Assert.True(problem is null, $"request {n}: {problem}");
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
