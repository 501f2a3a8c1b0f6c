using System.Globalization;
using System.Text;
using Byre.Blockdev;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>measure: how long the file of a new image becomes.</summary>
internal static class MeasureCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-O OUTPUT_FMT] [-o OPTIONS] [-f FMT | --image-opts] [-U]
              [--output human|json] [--object OBJDEF] (--size SIZE | FILENAME)

          -O, --target-format FMT   the new image's format, raw if not given
          -o, --options OPTIONS     its options, 'name=value,...'
          -s, --size SIZE           measure an empty image of this size
          FILENAME                  measure a copy of this image
          -f, --format FMT          its format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -l, --snapshot SNAP       measure a copy of an internal snapshot: snapshot.id=ID,snapshot.name=NAME, or an
                                    id or a name
          -U, --force-share         open it even if somebody else is writing it
          --output human|json       for people (default) or for programs
          --object OBJDEF           define an object (a secret, for one)

        """;

    private const int Sector = 512;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("target-format", 'O', ImgValue.Required), new("options", 'o', ImgValue.Required),
        new("size", 's', ImgValue.Required), new("format", 'f', ImgValue.Required), new("image-opts", '\0'),
        new("snapshot", 'l', ImgValue.Required), new("output", '\0', ImgValue.Required), new("force-share", 'U'),
        new("object", '\0', ImgValue.Required),
    ];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var arguments = ImgArguments.Parse(words, Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        var json = ImgImages.WantsJson(arguments);
        var size = arguments.Value("size") is { } text ? ImgSize.Parse(text, "image size") : (long?)null;
        ImgObjects.Load(context, arguments);
        CheckWords(arguments, size);
        var target = arguments.Value("target-format") ?? "raw";
        var options = ImgOptions.Read(arguments, "options", out _);
        var result = size is { } bytes
            ? await MeasureAsync(context, target, options, bytes, null, null).ConfigureAwait(false)
            : await MeasureImageAsync(context, arguments, target, options).ConfigureAwait(false);
        context.Output.Write(json ? Json(result) : Human(result));
        return 0;
    }

    private static void CheckWords(ImgArguments arguments, long? size)
    {
        if (arguments.Operands.Count > 1)
        {
            throw new ImgUsageException("name at most one image");
        }

        if (arguments.Operands.Count == 0 && (arguments.Has("image-opts") || arguments.Has("format") || arguments.Has("snapshot")))
        {
            throw new ImgFailure("--image-opts, -f and -l go with the name of an image");
        }

        if (size is not null == arguments.Operands.Count > 0)
        {
            throw new ImgFailure("Give either --size or the name of an image");
        }

        ImgImages.CheckFormat(arguments, "format");
    }

    private static async ValueTask<Qcow2Measure> MeasureImageAsync(
        ImgContext context, ImgArguments arguments, string target, List<KeyValuePair<string, string?>> options)
    {
        var name = arguments.Operands[0];
        var share = arguments.Has("force-share");
        var image = await ImgImages.OpenAsync(
            name,
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, arguments.Value("format"), share),
            ImgImages.Reading(share)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            if (arguments.Value("snapshot") is { } snapshot)
            {
                await SnapshotSource.ShowAsync(image, SnapshotSource.Parse(snapshot), name).ConfigureAwait(false);
            }

            var report = target == "qcow2" && BackingChain.SkipFilters(image.Node).DriverName == "qcow2"
                ? await new ImageInspector(context, share).InspectAsync(name, arguments.Has("image-opts"), image.FormatName).ConfigureAwait(false)
                : null;
            return await MeasureAsync(context, target, options, image.Edge.Length, image.Edge, report).ConfigureAwait(false);
        }
    }

    private static async ValueTask<Qcow2Measure> MeasureAsync(
        ImgContext context, string target, List<KeyValuePair<string, string?>> options, long size, BlockEdge? source, ImageReport? report)
    {
        // What the file is called and what backs it does not change its length.
        var hasBacking = options.Exists(o => o.Key == "backing_file");
        var plan = await ImageCreator.PlanAsync(new ImageCreateRequest
        {
            FileName = "measured",
            Format = target,
            Size = size,
            Secrets = context.Secrets,
            Options = [.. options.Where(o => o.Key is not ("backing_file" or "backing_fmt"))],
        }).ConfigureAwait(false);
        var rounded = RoundUp(size, Sector);
        var encryption = ImageCreator.EncryptionOf(plan);
        if (target == "luks")
        {
            var bytes = rounded + encryption!.PayloadOffset;
            return new Qcow2Measure { Required = bytes, FullyAllocated = bytes };
        }

        if (target != "qcow2")
        {
            return new Qcow2Measure { Required = rounded, FullyAllocated = rounded };
        }

        var image = MeasuredOptions.Of(plan) with { Encryption = encryption };
        if (source is null)
        {
            return Qcow2Measure.ForEmpty(image);
        }

        var cluster = 1 << image.ClusterBits;
        var data = hasBacking ? RoundUp(rounded, cluster) : await DataAsync(source, cluster).ConfigureAwait(false);
        long? bitmaps = report?.Header is { Version: >= 3 } header ? BitmapBytes(header, report, cluster) : null;
        return Qcow2Measure.ForData(image, data, bitmaps);
    }

    private static async ValueTask<long> DataAsync(BlockEdge source, int cluster)
    {
        var chain = new BackingChain(source);
        var reader = new StatusReader(chain, await PreallocationProbe.PrecisionForAsync(chain).ConfigureAwait(false));
        var total = 0L;
        for (var at = 0L; at < reader.Length;)
        {
            var status = await reader.AtAsync(at, reader.Length).ConfigureAwait(false);
            at = status.End;
            if (!status.Zero)
            {
                total += Qcow2Measure.DataOf(cluster, status.Start, status.Length, out at);
            }
        }

        return total;
    }

    private static long BitmapBytes(Qcow2Header header, ImageReport report, int cluster)
    {
        const int EntryStart = 24;
        var total = 0L;
        var directory = 0L;
        foreach (var bitmap in report.Bitmaps)
        {
            var bits = RoundUp(header.Size, bitmap.Granularity) / bitmap.Granularity;
            var clusters = RoundUp(RoundUp(bits, 8) / 8, cluster) / cluster;
            total += (clusters * cluster) + RoundUp(clusters * 8, cluster);
            directory += RoundUp(EntryStart + Encoding.UTF8.GetByteCount(bitmap.Name), 8);
        }

        return total + RoundUp(directory, cluster);
    }

    private static long RoundUp(long value, long unit) => value > long.MaxValue - unit
        ? throw new ImgFailure($"{value.ToString(CultureInfo.InvariantCulture)} bytes are too many")
        : (value + unit - 1) / unit * unit;

    private static string Human(Qcow2Measure measure) => string.Create(
        CultureInfo.InvariantCulture,
        $"required size: {measure.Required}\nfully allocated size: {measure.FullyAllocated}\n")
        + (measure.Bitmaps is { } bitmaps ? string.Create(CultureInfo.InvariantCulture, $"bitmaps size: {bitmaps}\n") : "");

    private static string Json(Qcow2Measure measure)
    {
        var json = new JsonText();
        json.BeginObject();
        if (measure.Bitmaps is { } bitmaps)
        {
            json.Add("bitmaps", bitmaps);
        }

        json.Add("required", measure.Required);
        json.Add("fully-allocated", measure.FullyAllocated);
        json.EndObject();
        return json + "\n";
    }
}
