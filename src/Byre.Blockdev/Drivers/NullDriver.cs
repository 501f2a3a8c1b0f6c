using Byre.Blockdev.Open;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Blockdev.Drivers;

/// <summary>The drivers "null-co" and "null-aio": disks that keep nothing.</summary>
internal sealed class NullDriver(string name) : IBlockDriver
{
    private const long DefaultSize = 1L << 30;
    private const long NanosecondsPerTick = 100;

    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public bool IsFormat => false;

    /// <inheritdoc/>
    public ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        var options = opening.Options;
        if (options.Take("filename") is { } file && file != name + "://")
        {
            throw new BlockException(ErrorCode.Invalid, $"The {name} driver takes no file name but '{name}://'");
        }

        var given = options.AsJson(key => key is "size" or "read-zeroes");
        var size = options.TakeSize("size") ?? DefaultSize;
        var latency = options.TakeNumber("latency-ns") ?? 0;
        var readsZeroes = options.TakeSwitch("read-zeroes") ?? false;
        options.CheckEmpty(name);
        if (latency > int.MaxValue * 1_000_000L)
        {
            throw new BlockException(ErrorCode.Invalid, $"latency-ns of the {name} driver may not be longer than {int.MaxValue} milliseconds");
        }

        return new(opening.Finish(new NullNode(size, readsZeroes, TimeSpan.FromTicks(latency / NanosecondsPerTick), name) { GivenOptions = given }));
    }
}
