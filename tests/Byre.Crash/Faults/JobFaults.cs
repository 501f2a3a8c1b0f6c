using Byre.Filters;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Crash.Faults;

/// <summary>Runs a job over files in memory again and again, and lets another request fail each time.</summary>
internal static class JobFaults
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    /// <summary>Fails every request of every file, once and from there on.</summary>
    /// <param name="starts">What the files hold before.</param>
    /// <param name="job">Gets a node for each.</param>
    /// <param name="inspect">Gets the files' content afterwards, whether the job failed, and which request was hit.</param>
    public static async Task RunAsync(byte[][] starts, Func<BlockNode[], Task> job, Func<byte[][], bool, string, Task> inspect)
    {
        for (var file = 0; file < starts.Length; file++)
        {
            foreach (var count in new[] { 1, long.MaxValue / 2 })
            {
                var hit = true;
                for (var n = 1; hit; n++)
                {
                    var rule = new FaultRule { First = n, Count = count, Kinds = FaultKinds.All, Errno = 28 };
                    hit = await FailAsync(starts, file, rule, job, inspect);
                }
            }
        }
    }

    private static async Task<bool> FailAsync(
        byte[][] starts, int file, FaultRule rule, Func<BlockNode[], Task> job, Func<byte[][], bool, string, Task> inspect)
    {
        var disks = starts.Select(s => new MemoryNode((byte[])s.Clone())).ToArray();
        var keep = disks.Select(d => new KeptNode(d)).ToArray();
        var fault = new FaultNode(new BlockEdge(disks[file], ChildRole.Filtered | ChildRole.Primary, Everything, "file"), new FaultOptions { Rules = [rule] });
        var failed = false;
        var what = $"file {file}, {rule}";
        try
        {
            await job([.. disks.Select((d, i) => i == file ? fault : (BlockNode)d)]);
        }
        catch (BlockException)
        {
            failed = true;
        }

        Assert.True(fault.Hits > 0 || !failed, $"{what}: failed for no reason");
        await inspect(await Task.WhenAll(disks.Select(ChainImages.ContentAsync)), failed, what);
        foreach (var kept in keep)
        {
            kept.Dispose();
        }

        return fault.Hits > 0;
    }
}
