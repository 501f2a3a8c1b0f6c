using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>convert --bitmaps: the bitmaps of the source, copied to the target.</summary>
internal static class ConvertBitmaps
{
    /// <summary>Before anything is written: the source's bitmaps can be copied.</summary>
    /// <exception cref="ImgFailure">They cannot: its format has none, or one is inconsistent.</exception>
    public static async ValueTask CheckAsync(BlockNode source, bool skipsBroken)
    {
        var bitmaps = source as IPersistentBitmaps ?? throw new ImgFailure($"The source is in the {source.DriverName} format, which keeps no bitmaps");
        foreach (var bitmap in await bitmaps.ListBitmapsAsync().ConfigureAwait(false))
        {
            if (bitmap.IsInconsistent && !skipsBroken)
            {
                throw new ImgFailure(
                    $"The bitmap '{bitmap.Name}' is inconsistent and cannot be copied: leave such out with --skip-broken-bitmaps, or remove it with 'bitmap --remove'");
            }
        }
    }

    /// <summary>The target can keep bitmaps.</summary>
    /// <exception cref="ImgFailure">It cannot.</exception>
    public static void CheckTarget(BlockNode target)
    {
        if (target is not IPersistentBitmaps { CanKeepBitmaps: true })
        {
            throw new ImgFailure($"The target, a {target.DriverName} image, cannot keep bitmaps");
        }
    }

    /// <summary>Copies them, once the data is there.</summary>
    public static async ValueTask CopyAsync(BlockNode source, BlockNode target, ImgContext context)
    {
        var to = (IPersistentBitmaps)target;
        foreach (var bitmap in await ((IPersistentBitmaps)source).ListBitmapsAsync().ConfigureAwait(false))
        {
            if (bitmap.IsInconsistent)
            {
                context.Error($"warning: the inconsistent bitmap '{bitmap.Name}' is not copied");
                continue;
            }

            try
            {
                await to.AddBitmapAsync(bitmap.Name, bitmap.Granularity, bitmap.IsEnabled).ConfigureAwait(false);
                await to.MergeBitmapAsync(bitmap.Name, bitmap).ConfigureAwait(false);
            }
            catch (BlockException e)
            {
                throw new ImgFailure($"The bitmap '{bitmap.Name}' could not be copied: {e.Message}", 1, e);
            }
        }
    }
}
