using System.Text;
using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>snapshot: lists, takes, applies and deletes internal snapshots.</summary>
internal static class SnapshotCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [-q] [-f FMT | --image-opts] [-U] [--object OBJDEF]
              [-l | -c NAME | -a SNAPSHOT | -d NAME] FILENAME

          -l, --list                list the snapshots (what is done if nothing else is asked for)
          -c, --create NAME         keep the disk as it is now, under this name
          -a, --apply SNAPSHOT      make the disk what it was then; an id goes before a name
          -d, --delete NAME         delete the first snapshot of this name
          -f, --format FMT          the image's format (looked for if not given)
          --image-opts              FILENAME is a list of options, not a file name
          -U, --force-share         list even if somebody else is writing the image
          -q, --quiet               say nothing but errors
          --object OBJDEF           define an object (a secret, for one)

        """;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("quiet", 'q'), new("format", 'f', ImgValue.Required), new("image-opts", '\0'), new("force-share", 'U'),
        new("object", '\0', ImgValue.Required), new("list", 'l'), new("create", 'c', ImgValue.Required),
        new("apply", 'a', ImgValue.Required), new("delete", 'd', ImgValue.Required),
    ];

    /// <summary>Runs it.</summary>
    public static async ValueTask<int> RunAsync(ImgContext context, IReadOnlyList<string> words)
    {
        var arguments = ImgArguments.Parse(words, Specs);
        if (arguments.Has("help"))
        {
            throw new ImgHelpWanted();
        }

        var actions = arguments.Options.Where(o => o.Name is "list" or "create" or "apply" or "delete").ToList();
        if (actions.Count > 1)
        {
            throw new ImgUsageException("-l, -c, -a and -d exclude one another, and each is given once");
        }

        if (arguments.Operands.Count != 1)
        {
            throw new ImgUsageException("name one image");
        }

        ImgImages.CheckFormat(arguments, "format");
        ImgObjects.Load(context, arguments);
        var (action, snapshot) = actions.Count == 0 ? ("list", null) : actions[0];
        var isListing = action == "list";
        var share = arguments.Has("force-share");
        var name = arguments.Operands[0];
        if (share && !isListing)
        {
            throw new ImgFailure($"Could not open '{name}': -U is for looking at an image, and goes with -l only");
        }

        var image = await ImgImages.OpenAsync(
            name,
            arguments.Has("image-opts"),
            ImgImages.ForReading(context, arguments.Value("format"), share) with { ReadOnly = isListing },
            isListing ? ImgImages.Reading(share) : DefaultPermissions.ForUser(write: true, resize: true)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            if (isListing)
            {
                await ListAsync(context, image, name).ConfigureAwait(false);
            }
            else
            {
                await ChangeAsync(image, name, action, snapshot!).ConfigureAwait(false);
            }
        }

        return 0;
    }

    private static async ValueTask ListAsync(ImgContext context, OpenImage image, string name)
    {
        if (SnapshotSource.StoreOf(image) is not { } store)
        {
            return; // as qemu-img: a format without snapshots has none
        }

        try
        {
            var text = new StringBuilder();
            SnapshotText.Add(text, await store.ListSnapshotsAsync().ConfigureAwait(false), 0);
            context.Output.Write(text.ToString());
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, name, "Could not list the snapshots of"), 1, e);
        }
    }

    private static async ValueTask ChangeAsync(OpenImage image, string name, string action, string snapshot)
    {
        try
        {
            var store = SnapshotSource.StoreOf(image)
                ?? throw new BlockException(ErrorCode.NotSupported, $"'{name}': images of the format {image.Node.DriverName} keep no snapshots");
            switch (action)
            {
                case "create":
                    // As qemu-img, which has counted no instructions and says so.
                    await store.CreateSnapshotAsync(new SnapshotRequest { Name = snapshot, Icount = 0 }).ConfigureAwait(false);
                    break;
                case "apply":
                    await store.ApplySnapshotAsync(SnapshotSelector.Of(snapshot)).ConfigureAwait(false);
                    break;
                default:
                    await store.DeleteSnapshotAsync(new SnapshotSelector(null, snapshot)).ConfigureAwait(false);
                    break;
            }
        }
        catch (BlockException e)
        {
            throw new ImgFailure($"Could not {action} snapshot '{snapshot}': {ImgImages.Naming(e.Message, name, "Could not change")}", 1, e);
        }
    }
}
