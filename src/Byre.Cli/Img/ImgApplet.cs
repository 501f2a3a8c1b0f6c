using Byre.Cli.Checksum;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>The image tool: finds the verb, runs it, and turns failures into one line and an exit status.</summary>
internal static class ImgApplet
{
    /// <summary>The verbs, in alphabetical order.</summary>
    public static IReadOnlyList<ImgVerb> Verbs { get; } =
    [
        new("amend", "change what an image is", AmendCommand.Usage, AmendCommand.RunAsync),
        new("bench", "time requests to an image", BenchCommand.Usage, BenchCommand.RunAsync) { Answers = true },
        new("bitmap", "change the dirty bitmaps that an image keeps", BitmapCommand.Usage, BitmapCommand.RunAsync),
        new("check", "examine an image's metadata, and repair it", CheckCommand.Usage, CheckCommand.RunAsync) { Answers = true },
        new("checksum", "print the digest of what a guest reads", ChecksumCommand.Usage, ChecksumCommand.RunAsync) { OnlyReads = true, Answers = true },
        new("commit", "write what an image holds into its backing file", CommitCommand.Usage, CommitCommand.RunAsync),
        new("compare", "tell whether two images read the same", CompareCommand.Usage, CompareCommand.RunAsync) { FailureStatus = CompareCommand.CannotOpen, Answers = true },
        new("convert", "copy images to a new one, in any format", ConvertHelp.Usage, ConvertCommand.RunAsync),
        new("create", "make an image", CreateCommand.Usage, CreateCommand.RunAsync),
        new("dd", "copy blocks of an image to a new one", DdCommand.Usage, DdCommand.RunAsync),
        new("info", "tell what an image is", InfoCommand.Usage, InfoCommand.RunAsync) { OnlyReads = true, Answers = true },
        new("map", "tell where an image's data lies", MapCommand.Usage, MapCommand.RunAsync) { OnlyReads = true, Answers = true },
        new("measure", "tell how long the file of a new image becomes", MeasureCommand.Usage, MeasureCommand.RunAsync) { OnlyReads = true, Answers = true },
        new("rebase", "give an image another backing file", RebaseCommand.Usage, RebaseCommand.RunAsync),
        new("resize", "make an image longer or shorter", ResizeCommand.Usage, ResizeCommand.RunAsync),
        new("snapshot", "list, take, apply and delete internal snapshots", SnapshotCommand.Usage, SnapshotCommand.RunAsync),
    ];

    /// <summary>The verb of a name, or null.</summary>
    public static ImgVerb? Find(string name)
    {
        foreach (var verb in Verbs)
        {
            if (verb.Name == name)
            {
                return verb;
            }
        }

        return null;
    }

    /// <summary>Runs a verb.</summary>
    /// <param name="context">Where.</param>
    /// <param name="verb">The verb.</param>
    /// <param name="words">What follows it.</param>
    /// <returns>The exit status.</returns>
    public static async ValueTask<int> RunAsync(ImgContext context, ImgVerb verb, IReadOnlyList<string> words)
    {
        var status = verb.FailureStatus;
        try
        {
            status = await verb.Run(context, words).ConfigureAwait(false);
        }
        catch (ImgHelpWanted)
        {
            context.Output.Write($"{verb.Name}: {verb.Summary}\n\nUsage: {context.Program} {verb.Name} {verb.Usage}");
            status = 0;
        }
        catch (ImgUsageException e)
        {
            context.Error($"{verb.Name}: {e.Message} (see '{context.Program} {verb.Name} --help')");

            // As qemu-img: a wrong command line is 1, whatever the verb.
            status = 1;
        }
        catch (ImgFailure e)
        {
            context.Error(e.Message);
            status = Math.Max(e.Status, verb.FailureStatus);
        }
        catch (OperationCanceledException)
        {
            context.Interrupted(verb.Name);
        }
        catch (Exception e) when (e is BlockException or IOException or UnauthorizedAccessException or OutOfMemoryException)
        {
            context.Error(e.Message.ReplaceLineEndings(" "));
        }
        finally
        {
            context.Targets.RemoveAll();
            context.Objects.Dispose();
            context.Output.Flush();
        }

        if (verb.Answers && context.Output.Failure is { } failure)
        {
            // What was asked for did not arrive. Verbs that make or change an image did so: what they say meanwhile is no result.
            context.Error($"standard output cannot be written: {failure}");
            status = Math.Max(status, verb.FailureStatus);
        }

        return status;
    }
}
