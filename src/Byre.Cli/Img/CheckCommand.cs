using System.Globalization;
using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>check: examines an image's metadata, and repairs it where asked to.</summary>
internal static class CheckCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-f FMT | --image-opts] [-U] [-T CACHE] [-r leaks|all]
              [--output human|json] [--findings] [--object OBJDEF] FILENAME

          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -r, --repair leaks|all    repair leaked clusters, or everything
          -T, --cache CACHE         none, writeback (default), writethrough, directsync or unsafe
          -U, --force-share         open the image even if somebody else is writing it
          --output human|json       how to say the result
          --findings                with --output json: every finding as data
          -q, --quiet               print errors only
          --object OBJDEF           define an object (a secret, for one)

        Exit status: 0 nothing wrong (any more), 1 the check could not be done, 2 corruption,
        3 leaked clusters and nothing worse, 63 the format has no check.

        """;

    private const int NotSupported = 63;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'),
        new("cache", 'T', ImgValue.Required), new("force-share", 'U'), new("output", '\0', ImgValue.Required),
        new("repair", 'r', ImgValue.Required), new("findings", '\0'), new("object", '\0', ImgValue.Required),
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
        var repair = arguments.Value("repair") switch
        {
            null => RepairMode.None,
            "leaks" => RepairMode.Leaks,
            "all" => RepairMode.All,
            var other => throw new ImgUsageException($"--repair takes 'leaks' or 'all', not '{other}'"),
        };
        var findings = arguments.Has("findings");
        if (findings && !json)
        {
            throw new ImgUsageException("--findings goes with --output json");
        }

        ImgObjects.Load(context, arguments);
        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        ImgImages.CheckFormat(arguments, "format");
        var share = arguments.Has("force-share");
        if (share && repair != RepairMode.None)
        {
            throw new ImgFailure("An image that is repaired cannot be shared (-r and -U)");
        }

        var cache = ImgImages.Cache(arguments.Value("cache"));
        var name = arguments.Operands[0];
        var options = ImgImages.ForReading(context, arguments.Value("format"), share) with
        {
            ReadOnly = repair == RepairMode.None,
            ForCheck = true,
            Cache = cache,
        };
        var imageOptions = arguments.Has("image-opts");
        var (report, format) = await CheckAsync(context, name, imageOptions, options, repair, findings).ConfigureAwait(false);
        if (report is null)
        {
            context.Error($"The {format} format of '{name}' has nothing to check");
            return NotSupported;
        }

        var quiet = arguments.Has("quiet");
        IReadOnlyList<CheckFinding> repaired = [];
        if (report.Aborted is null && (report.CorruptionsFixed > 0 || report.LeaksFixed > 0))
        {
            if (!json && !quiet)
            {
                context.Output.Write(string.Create(
                    CultureInfo.InvariantCulture,
                    $"The following inconsistencies were found and repaired:\n\n    {report.LeaksFixed} leaked clusters\n    {report.CorruptionsFixed} corruptions\n\nDouble checking the fixed image now...\n"));
            }

            var (again, _) = await CheckAsync(
                context, name, imageOptions, options with { ReadOnly = true, Format = format }, RepairMode.None, findings).ConfigureAwait(false);
            repaired = report.Findings;
            report = again! with { CorruptionsFixed = report.CorruptionsFixed, LeaksFixed = report.LeaksFixed };
        }

        if (report.Aborted is { } reason)
        {
            context.Error(ImgImages.Naming(reason, name, "The check could not be brought to its end:"));
            return 1;
        }

        if (json && !quiet)
        {
            context.Output.Write(CheckText.Json(report, name, format, findings ? repaired : null) + "\n");
        }
        else if (!quiet)
        {
            context.Output.Write(CheckText.Human(report));
        }

        if (report.CheckErrors > 0)
        {
            context.Error($"Some of '{name}' could not be checked");
            return 1;
        }

        return report.Corruptions > 0 ? 2 : report.Leaks > 0 ? 3 : 0;
    }

    private static async ValueTask<(CheckReport? Report, string Format)> CheckAsync(
        ImgContext context, string name, bool imageOptions, OpenOptions options, RepairMode repair, bool isQuiet)
    {
        var permissions = repair == RepairMode.None
            ? ImgImages.Reading(options.ForceShare)
            : DefaultPermissions.ForUser(write: true, resize: true);
        var image = await ImgImages.OpenAsync(name, imageOptions, options, permissions).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            if (BackingChain.SkipFilters(image.Node) is not IImageCheck format)
            {
                return (null, image.FormatName);
            }

            var report = await format.CheckAsync(repair).ConfigureAwait(false);
            foreach (var finding in isQuiet ? [] : report.Findings)
            {
                context.Note(finding.ToString());
            }

            if (report.DroppedFindings > 0 && !isQuiet)
            {
                context.Note(string.Create(CultureInfo.InvariantCulture, $"... and {report.DroppedFindings} more"));
            }

            return (report, image.FormatName);
        }
    }
}
