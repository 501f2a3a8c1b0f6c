using System.Diagnostics;
using System.Runtime.Versioning;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage.Linux;
using Microsoft.Win32.SafeHandles;

namespace Byre.Tests.Storage;

[SupportedOSPlatform("linux")]
public sealed class PermissionLocksTests : IDisposable
{
    private readonly string path = Path.GetTempFileName();
    private readonly SafeFileHandle first;
    private readonly SafeFileHandle second;

    public PermissionLocksTests()
    {
        first = Open();
        second = Open();
    }

    public void Dispose()
    {
        first.Dispose();
        second.Dispose();
        File.Delete(path);
    }

    [Fact]
    public async Task A_lock_that_is_held_for_an_instant_is_waited_for()
    {
        var other = Make(first, TimeSpan.Zero);
        other.Prepare(DefaultPermissions.Writer);
        other.Commit();
        var mine = Make(second, TimeSpan.FromSeconds(60));
        var prepared = Task.Run(() => mine.Prepare(DefaultPermissions.Writer));
        await Task.Delay(40);
        Assert.False(prepared.IsCompleted);
        other.Close();
        await prepared;
    }

    [Fact]
    public void A_lock_that_stays_is_refused_soon_and_leaves_nothing_behind()
    {
        var other = Make(first, TimeSpan.Zero);
        other.Prepare(DefaultPermissions.Writer);
        other.Commit();
        var watch = Stopwatch.StartNew();
        var refused = Assert.Throws<BlockException>(() => Make(second, TimeSpan.FromMilliseconds(100)).Prepare(DefaultPermissions.Writer));
        Assert.Equal(ErrorCode.Locked, refused.Code);
        Assert.InRange(watch.ElapsedMilliseconds, 100, 5_000);
        other.Close();
        Make(first, TimeSpan.Zero).Prepare(DefaultPermissions.Writer); // nothing of the refused one is in the way
    }

    private SafeFileHandle Open() => File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);

    private PermissionLocks Make(SafeFileHandle handle, TimeSpan patience) => new((int)handle.DangerousGetHandle(), path) { Patience = patience };
}
