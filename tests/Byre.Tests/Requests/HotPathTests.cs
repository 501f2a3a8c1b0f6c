using System.Diagnostics;
using Byre.Nodes;
using Xunit.Abstractions;

namespace Byre.Tests.Requests;

public class HotPathTests(ITestOutputHelper output)
{
    private const int Count = 1_000_000;

    /// <summary>A request that its node completes at once costs no memory; what the time is goes to the test's output.</summary>
    [Fact]
    public async Task Requests_that_complete_inline_allocate_nothing()
    {
        var edge = new BlockEdge(new InlineNode(), ChildRole.None, EdgeTests.Everything);
        var buffer = new byte[512];
        var list = new ExtentList();
        var node = edge.Node;
        await MeasureAsync("nothing", () => default);
        await MeasureAsync("two interlocked additions", () =>
        {
            node.Tracker.TryEnter();
            node.Tracker.Leave();
            return default;
        });
        await MeasureAsync("read", () => edge.ReadAsync(512, buffer));
        await MeasureAsync("write", () => edge.WriteAsync(512, buffer));
        await MeasureAsync("extents", () =>
        {
            list.Reset(0, 4096);
            return edge.GetExtentsAsync(list, ExtentPrecision.Layer);
        });
        await edge.DisposeAsync();
    }

    /// <summary>
    /// Measures until a round allocates nothing: code that the runtime has not compiled for good yet may allocate, and
    /// when that ends depends on the machine's load. A path that allocates per request does so in every round.
    /// </summary>
    private async Task MeasureAsync(string what, Func<ValueTask> request)
    {
        var bytes = long.MaxValue;
        for (var round = 0; round < 20 && bytes > Count / 10; round++)
        {
            for (var i = 0; i < Count / 10; i++)
            {
                await request();
            }

            await Task.Delay(50); // the compiler's next tier
            var before = GC.GetAllocatedBytesForCurrentThread();
            var watch = Stopwatch.StartNew();
            for (var i = 0; i < Count; i++)
            {
                await request();
            }

            watch.Stop();
            bytes = GC.GetAllocatedBytesForCurrentThread() - before;
            output.WriteLine($"{what}: {watch.Elapsed.TotalNanoseconds / Count:F1} ns, {bytes} bytes for {Count} requests");
        }

        Assert.InRange(bytes, 0, Count / 10);
    }

    private sealed class InlineNode : BlockNode
    {
        public override string DriverName => "inline";

        public override string FileName => "";

        public override long Length => 1 << 20;

        public override ValueTask ReadAsync(long offset, Memory<byte> buffer) => default;

        public override ValueTask WriteAsync(long offset, ReadOnlyMemory<byte> data, WriteFlags flags) => default;

        public override ValueTask GetExtentsAsync(ExtentList extents, ExtentPrecision precision)
        {
            extents.Add(new BlockExtent(extents.Offset, extents.Length, ExtentState.Zero, ExtentFlags.Hole, -1, null, 1));
            return default;
        }
    }
}
