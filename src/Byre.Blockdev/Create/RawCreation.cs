using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Create;

/// <summary>Creates raw images.</summary>
internal static class RawCreation
{
    /// <summary>Creates one.</summary>
    public static async ValueTask CreateAsync(CreatePlan plan)
    {
        var size = FileCreation.RoundUp(plan.Size);
        var preallocation = PreallocationOf(plan);
        if (preallocation == Preallocation.Metadata)
        {
            throw new BlockException(ErrorCode.Invalid, "A raw image has no metadata to preallocate: preallocation is off, falloc or full");
        }

        var file = await FileCreation.BeginAsync(new BlockGraph(), plan.FileName, plan).ConfigureAwait(false);
        await using (file.ConfigureAwait(false))
        {
            await file.Edge.ResizeAsync(size, preallocation).ConfigureAwait(false);
            await file.AllocateFirstBlockAsync().ConfigureAwait(false);
            await file.CompleteAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The mode of the option "preallocation".</summary>
    /// <exception cref="BlockException">There is no such mode.</exception>
    public static Preallocation PreallocationOf(CreatePlan plan) => plan.Find("preallocation") switch
    {
        null or "off" => Preallocation.Off,
        "metadata" => Preallocation.Metadata,
        "falloc" => Preallocation.Falloc,
        "full" => Preallocation.Full,
        var other => throw new BlockException(ErrorCode.Invalid, $"'{other}' is not a value for preallocation (off, metadata, falloc, full)"),
    };
}
