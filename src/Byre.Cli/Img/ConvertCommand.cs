using Byre.Blockdev;
using Byre.Formats.Qcow2;
using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Img;

/// <summary>convert: copies images to a target that is made for it.</summary>
internal static class ConvertCommand
{
    /// <summary>Runs the verb.</summary>
    /// <param name="context">Streams, and what is to be removed on failure.</param>
    /// <param name="words">What follows it on the command line.</param>
    /// <returns>The exit status: 0.</returns>
    /// <exception cref="ImgFailure">It fails; the target that was begun is removed.</exception>
    /// <exception cref="BlockException">It fails; the target that was begun is removed.</exception>
    /// <exception cref="OperationCanceledException">It was interrupted; the target that was begun is removed.</exception>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var options = ConvertOptions.Parse(words);
        if (options.Arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        if (options.WantsOptionHelp)
        {
            var format = options.TargetFormat ?? throw new ImgFailure("Help about options needs a format (-O)");
            context.Output.Write(ImgOptions.Describe(format, withFile: options.Target is not null));
            return 0;
        }

        ImgObjects.Load(context, options.Arguments);
        try
        {
            await ConvertAsync(options, context).ConfigureAwait(false);
            return 0;
        }
        catch
        {
            context.Targets.RemoveAll();
            throw;
        }
    }

    private static async Task ConvertAsync(ConvertOptions options, ImgContext context)
    {
        var sourceCache = CacheMode.Parse(options.SourceCache) ?? throw new ImgFailure($"Invalid cache mode of the sources: '{options.SourceCache}'");
        using var progress = ConvertProgress.From(options.Arguments, context);
        var sources = await ConvertSources.OpenAsync(options, sourceCache, context).ConfigureAwait(false);
        await using (sources.ConfigureAwait(false))
        {
            var copiesBitmaps = options.Arguments.Has("bitmaps");
            if (copiesBitmaps)
            {
                await ConvertBitmaps.CheckAsync(sources.Edges[0].Node, options.Arguments.Has("skip-broken-bitmaps")).ConfigureAwait(false);
            }

            var target = new ConvertTarget(options, context);
            var cache = CacheMode.Parse(options.TargetCache) ?? throw new ImgFailure($"Invalid cache mode of the target: '{options.TargetCache}'");
            var image = await target.OpenAsync(sources, cache).ConfigureAwait(false);
            try
            {
                if (copiesBitmaps)
                {
                    ConvertBitmaps.CheckTarget(image.Node);
                }

                // Killed meanwhile, nobody can take the target for a whole one.
                var mark = options.NoCreate ? null : image.Node as IIncompleteMark;
                if (mark is not null)
                {
                    await mark.MarkIncompleteAsync().ConfigureAwait(false);
                }

                await CopyAsync(options, context, sources, image, target.Backing is not null, progress).ConfigureAwait(false);
                if (copiesBitmaps)
                {
                    await ConvertBitmaps.CopyAsync(sources.Edges[0].Node, image.Node, context).ConfigureAwait(false);
                }

                if (mark is not null)
                {
                    await mark.MarkCompleteAsync().ConfigureAwait(false);
                }
            }
            catch
            {
                await CloseQuietlyAsync(image).ConfigureAwait(false);
                throw;
            }

            await image.DisposeAsync().ConfigureAwait(false);
            context.Targets.ForgetAll();
        }

        progress.Finish();
    }

    private static async Task CopyAsync(
        ConvertOptions options, ImgContext context, ConvertSources sources, OpenImage target, bool hasBacking, ConvertProgress progress)
    {
        if (options.Compress && (target.Node.SupportedWriteFlags & WriteFlags.Compressed) == 0)
        {
            throw new ImgFailure($"The {target.FormatName} format has no compression");
        }

        if (options.NoCreate && target.Edge.Length < sources.Length)
        {
            throw new ImgFailure($"The target '{options.Target}' has {target.Edge.Length} bytes, fewer than the {sources.Length} to be copied");
        }

        var isNew = !options.NoCreate && !ConvertTarget.IsUnknownWhenNew(target.Node);
        var engine = new CopyEngine(sources.Edges, target.Edge, new CopyOptions
        {
            OnCallersThread = true,
            Parallel = options.Parallel,
            TargetIsZero = options.TargetIsZero || (isNew && !hasBacking),
            TargetZeroFrom = isNew && hasBacking && BackingChain.BackingOf(target.Node) is { } backing ? backing.Length : long.MaxValue,
            Compressed = options.Compress,
            CompressionUnit = target.Node is Qcow2Node qcow2 ? qcow2.Header.ClusterSize : 0,
            SparseBytes = options.SparseBytes,
            OutOfOrder = options.OutOfOrder,
            RateBytesPerSecond = options.Rate,
            CopyRange = options.CopyRange,
            Salvage = options.Salvage,
            Unreadable = options.Arguments.Has("quiet") ? null : (offset, e) => context.Error($"warning: error while reading offset {offset}: {e.Message}"),
            BelowBase = hasBacking ? FindBase(sources.Edges[0].Node, target.Node) : null,
            Writethrough = CacheMode.Parse(options.TargetCache) is { Writethrough: true },
            Progress = progress.Wanted,
        });
        await progress.RunAsync(() => engine.RunAsync(context.Stopping).AsTask()).ConfigureAwait(false);
    }

    /// <summary>
    /// The layer of the source whose content the target has below it: the one that is the target's own backing file; else
    /// the source's backing layer, which the user says has the same content.
    /// </summary>
    private static BlockNode? FindBase(BlockNode source, BlockNode target)
    {
        var layers = BackingChain.LayersOf(source);
        var below = BackingChain.BackingOf(target)?.Node;
        if (below is not null && ImageIdentity.Of(BackingChain.SkipFilters(below)) is { } identity)
        {
            for (var i = 1; i < layers.Count; i++)
            {
                if (ImageIdentity.Of(layers[i]) == identity)
                {
                    return layers[i];
                }
            }
        }

        return layers.Count > 1 ? layers[1] : null;
    }

    private static async Task CloseQuietlyAsync(OpenImage image)
    {
        try
        {
            await image.DisposeAsync().ConfigureAwait(false);
        }
        catch (BlockException)
        {
            // Why the copy failed is what the user hears of.
        }
    }
}
