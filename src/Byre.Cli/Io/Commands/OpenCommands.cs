using Byre.Blockdev;
using Byre.Graph;

namespace Byre.Cli.Io.Commands;

/// <summary>open, close and reopen.</summary>
internal static class OpenCommands
{
    private const string OpenLetters = "snCro:ki:t:d:U";
    private const string ReopenLetters = "rwc:o:";

    /// <summary>The commands.</summary>
    public static IEnumerable<IoCommand> All =>
    [
        new("close", "c", "", "closes the image", CloseAsync) { MaxWords = 0 },
        new("open", "o", "[-rsCnkU] [-t cache] [-d discard] [-o options] [path]", "opens an image", OpenAsync)
        {
            MinWords = 1,
            NeedsNoImage = true,
            Letters = OpenLetters,
            Help =
            [
                "Example: open -n -o driver=raw /tmp/data  opens a raw image for reading and writing past the page cache",
                "-C  store in the image what is read from backing layers",
                "-d  the discard mode: ignore or unmap",
                "-i  the I/O engine: threads, native or io_uring (checked, then ignored)",
                "-k  as -i native",
                "-n  as -t none",
                "-o  driver options",
                "-r  for reading only",
                "-s  write to a temporary overlay",
                "-t  the cache mode: none, writeback, writethrough, directsync or unsafe",
                "-U  share the image with other programs",
            ],
        },
        new("reopen", null, "[(-r|-w)] [-c cache] [-o options]", "opens the image anew with other options", ReopenAsync)
        {
            Letters = ReopenLetters,
            Help =
            [
                "-c  the cache mode",
                "-o  driver options that change",
                "-r  for reading only",
                "-w  for reading and writing",
            ],
        },
    ];

    private static async ValueTask<bool> CloseAsync(IoSession session, IReadOnlyList<string> words)
    {
        await session.CloseAsync().ConfigureAwait(false);
        return true;
    }

    private static async ValueTask<bool> OpenAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!IoArguments.TryParse(words, OpenLetters, out var arguments, out var error))
        {
            session.Errors.WriteLine(error);
            return session.FailUsage(words[0]);
        }

        var options = new List<string>();
        var request = new IoOpenRequest();
        foreach (var (letter, value) in arguments.Options)
        {
            request = request.With(letter, value);
            if (letter == 'o')
            {
                options.Add(value!);
            }
        }

        if (IoModes.Complaint(request with { Options = options }) is { } complaint)
        {
            session.Error(complaint);
            return false;
        }

        if (arguments.Operands.Count > 1)
        {
            return session.FailUsage(words[0]);
        }

        var file = arguments.Operands.Count == 1 ? arguments.Operands[0] : null;
        if (session.ImageOpts && file is not null)
        {
            options.Add(file);
            file = null;
        }

        return await session.OpenAsync(request with { FileName = file, Options = options }).ConfigureAwait(false);
    }

    private static async ValueTask<bool> ReopenAsync(IoSession session, IReadOnlyList<string> words)
    {
        if (!IoArguments.TryParse(words, ReopenLetters, out var arguments, out var error))
        {
            session.Errors.WriteLine(error);
            return session.FailUsage(words[0]);
        }

        var request = session.Open.Request;
        var mode = '\0';
        var changed = new List<string>();
        foreach (var (letter, value) in arguments.Options)
        {
            if (letter is 'r' or 'w')
            {
                if (mode != '\0')
                {
                    session.Error("Only one of -r and -w can be given");
                    return false;
                }

                mode = letter;
                request = request with { ReadOnly = letter == 'r' };
            }
            else if (letter == 'c')
            {
                request = request with { CacheMode = value! };
            }
            else
            {
                changed.Add(value!);
            }
        }

        if (IoModes.Complaint(request) is { } complaint)
        {
            session.Error(complaint);
            return false;
        }

        if (arguments.Operands.Count > 0)
        {
            return session.FailUsage(words[0]);
        }

        if (arguments.Has('c') && changed.Exists(o => o.Contains("cache.", StringComparison.Ordinal)))
        {
            session.Error("The cache mode is given by -c and by options");
            return false;
        }

        if (mode != '\0' && changed.Exists(o => o.Contains("read-only=", StringComparison.Ordinal)))
        {
            session.Error("Writing is allowed or forbidden by -r or -w and by options");
            return false;
        }

        if (Change(session.Open, request, changed) is { } refused)
        {
            session.Error(refused);
            return false;
        }

        return await session.ReopenAsync(request with { Options = [.. request.Options, .. changed] }).ConfigureAwait(false);
    }

    /// <summary>What an image that is open cannot become, in words; null for what it can.</summary>
    private static string? Change(IoImage image, IoOpenRequest request, List<string> changed)
    {
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var list in changed)
        {
            OptionTree.AddList(options, list);
        }

        if (options.TryGetValue("driver", out var driver) && driver != BackingChain.SkipFilters(image.Edge.Node).DriverName)
        {
            return $"The driver of an image that is open cannot become '{driver}'";
        }

        if (options.GetValueOrDefault("read-only") is "on" or "yes" or "true" or "y" && !image.IsReadOnly)
        {
            return "read-only=on is refused while the image is written to: use -r";
        }

        if (request is { CopyOnRead: true, ReadOnly: true })
        {
            return "An image with copy-on-read cannot become read-only";
        }

        return request.Snapshot && (changed.Count > 0 || request.ReadOnly != image.Request.ReadOnly)
            ? "Only the cache mode of a temporary overlay can change"
            : null;
    }
}
