using System.Diagnostics;
using System.Globalization;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>bench: tells how long requests to an image take.</summary>
internal static class BenchCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-f FMT | --image-opts] [-t CACHE] [-c COUNT] [-d DEPTH] [-o OFFSET]
              [-s SIZE] [-S STEP] [-i AIO] [-n] [-w [--pattern BYTE] [--flush-interval N [--no-drain]]] [-U]
              [--object OBJDEF] FILENAME

        Reads from an image, or with -w writes over it, and tells how long it took.

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -c, --count COUNT         requests (default 75000)
          -d, --depth DEPTH         ... of which so many are in flight at a time (default 64)
          -s, --buffer-size SIZE    bytes of each (default 4k)
          -o, --offset OFFSET       where the first one begins (default 0)
          -S, --step-size STEP      how far each begins behind the one before (default: its size);
                                    behind the image's end it goes on at its front
          -w, --write               write; what the image holds there is lost
          --pattern BYTE            what is written (default 0)
          --flush-interval N        flush after every N requests
          --no-drain                ... without waiting for those in flight
          -t, --cache CACHE         none, writeback (default), writethrough, directsync or unsafe
          -i, --aio AIO             threads, native or io_uring; all are done the same way here
          -n, --native              as -i native, which needs a cache mode without the page cache
          -U, --force-share         others may have the image open for writing
          -q, --quiet               as qemu-img takes it: nothing is left out
          --object OBJDEF           define an object (a secret, for one)

        """;

    private const int MostThreads = 64;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'), new("cache", 't', ImgValue.Required),
        new("count", 'c', ImgValue.Required), new("depth", 'd', ImgValue.Required), new("offset", 'o', ImgValue.Required),
        new("buffer-size", 's', ImgValue.Required), new("step-size", 'S', ImgValue.Required), new("aio", 'i', ImgValue.Required),
        new("native", 'n'), new("write", 'w'), new("pattern", '\0', ImgValue.Required), new("flush-interval", '\0', ImgValue.Required),
        new("no-drain", '\0'), new("force-share", 'U'), new("object", '\0', ImgValue.Required),
    ];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var arguments = ImgArguments.Parse(words, Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        ImgObjects.Load(context, arguments);
        ImgImages.CheckFormat(arguments, "format");
        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        var options = BenchOptions.Parse(arguments);
        var cache = ImgImages.Cache(arguments.Value("cache"));
        var engine = arguments.Has("native") ? "native" : arguments.Value("aio") ?? "threads";
        if (engine is not ("threads" or "native" or "io_uring"))
        {
            throw new ImgFailure($"There is no way of I/O '{engine}': it is threads, native or io_uring");
        }

        if (engine == "native" && !cache.Direct)
        {
            throw new ImgFailure("Native I/O needs a cache mode without the page cache: none or directsync");
        }

        var name = arguments.Operands[0];
        var forceShare = arguments.Has("force-share");
        var image = await ImgImages.OpenAsync(
            name,
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, arguments.Value("format"), forceShare) with { ReadOnly = !options.Writes, Cache = cache, BlockingIo = false },
            options.Writes ? DefaultPermissions.ForUser(write: true) : ImgImages.Reading(forceShare)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            context.Output.Write(string.Create(
                CultureInfo.InvariantCulture,
                $"Sending {options.Count} {(options.Writes ? "write" : "read")} requests, {options.Size} bytes each, {options.Depth} in parallel (starting at offset {options.Offset}, step size {options.Step})\n"));
            if (options.FlushInterval > 0)
            {
                context.Output.Write(string.Create(CultureInfo.InvariantCulture, $"Sending flush every {options.FlushInterval} requests\n"));
            }

            context.Output.Flush();
            var clock = Stopwatch.StartNew();
            await TimeAsync(image.Edge, options, cache.Writethrough, context.Stopping).ConfigureAwait(false);
            context.Output.Write(string.Create(CultureInfo.InvariantCulture, $"Run completed in {clock.Elapsed.TotalSeconds:F3} seconds.\n"));
        }

        return 0;
    }

    private static async Task TimeAsync(BlockEdge image, BenchOptions options, bool writethrough, CancellationToken stopping)
    {
        // Requests that must wait for the disk wait in threads, each in its own.
        ThreadPool.GetMinThreads(out var workers, out var ports);
        ThreadPool.SetMinThreads(Math.Max(workers, Math.Min(options.Depth, MostThreads)), ports);
        using var run = new BenchRun(image, options, writethrough, stopping);
        try
        {
            await run.RunAsync().ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure($"A request failed: {e.Message}", inner: e);
        }
    }
}
