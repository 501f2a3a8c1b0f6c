using System.Security.Cryptography;
using Byre.Blockdev;
using Byre.Cli.Img;
using Byre.Graph;
using Byre.Jobs;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Checksum;

/// <summary>checksum: the digest of what a guest reads.</summary>
internal static class ChecksumCommand
{
    /// <summary>The verb's help.</summary>
    public const string Usage = """
        [--hash NAME] [-f FMT | --image-opts] [-l SNAPSHOT] [-U] [-T CACHE]
              [-p] [-q] [--json | --output human|json] [--object OBJDEF] FILENAME...

        Prints the digest of what a guest reads, as sha256sum does of a raw copy. The format, and
        what is sparse, make no difference: what is known to be zero is digested and not read.
        An image that cannot be read is told of, and the others are digested; the status is 1 then.

          --hash NAME               sha256 (default), sha1, sha384, sha512, md5, and sha3-256,
                                    sha3-384, sha3-512 where the system has them
          -f, --format FMT          the images' format (looked for if not given)
          --image-opts              the names are lists of options, not file names
          -l, --snapshot SNAPSHOT   the digest of an internal snapshot
          -U, --force-share         open the images even if somebody else is writing them
          -T, --cache CACHE         none, writeback (default), writethrough, directsync or unsafe
          -p, --progress[=json]     tell how far it is
          -q, --quiet               no progress
          --json                    the answer as JSON, as --output json
          --object OBJDEF           define an object (a secret, for one)

        """;

    private const int Chunks = 3;
    private const int RemoteChunks = 8;

    private static readonly ImgSpec[] Specs =
    [
        new("help", 'h'), new("hash", '\0', ImgValue.Required), new("format", 'f', ImgValue.Required), new("image-opts", '\0'),
        new("snapshot", 'l', ImgValue.Required), new("force-share", 'U'), new("cache", 'T', ImgValue.Required),
        new("progress", 'p', ImgValue.Optional), new("quiet", 'q'), new("json", '\0'), new("output", '\0', ImgValue.Required),
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

        if (arguments.Operands.Count == 0)
        {
            throw new ImgUsageException("name an image");
        }

        ImgImages.CheckFormat(arguments, "format");
        var isJson = ImgImages.WantsJson(arguments) || arguments.Has("json");
        var hash = arguments.Value("hash") ?? "sha256";
        var algorithm = AlgorithmOf(hash);
        SnapshotSelector? snapshot = arguments.Value("snapshot") is { } wanted ? SnapshotSource.Parse(wanted) : null;
        ImgObjects.Load(context, arguments);
        var options = ImgImages.ForReading(context, arguments.Value("format"), arguments.Has("force-share")) with
        {
            Cache = ImgImages.Cache(arguments.Value("cache")),
        };
        var answers = new List<ImageChecksum>();
        foreach (var name in arguments.Operands)
        {
            var progress = ImgProgress.From(arguments, context.Output);
            try
            {
                var answer = await DigestAsync(name, arguments, options, snapshot, algorithm, progress, context.Stopping).ConfigureAwait(false);
                answers.Add(answer);
                if (!isJson)
                {
                    context.Output.Write($"{answer.Digest}  {PlainText.LineOf(name)}\n");
                }
            }
            catch (Exception e) when (e is ImgFailure or BlockException or IOException or UnauthorizedAccessException)
            {
                context.Error(ImgImages.Naming(e.Message.ReplaceLineEndings(" "), name, "Could not read"));
            }
        }

        if (isJson && (answers.Count > 0 || arguments.Operands.Count > 1))
        {
            context.Output.Write(Json(answers, hash, isList: arguments.Operands.Count > 1));
        }

        return answers.Count == arguments.Operands.Count ? 0 : 1;
    }

    private static async ValueTask<ImageChecksum> DigestAsync(
        string name,
        ImgArguments arguments,
        OpenOptions options,
        SnapshotSelector? snapshot,
        HashAlgorithmName algorithm,
        ImgProgress progress,
        CancellationToken cancellation)
    {
        var image = await ImgImages.OpenAsync(
            name, arguments.Has("image-opts"), options, ImgImages.Reading(options.ForceShare)).ConfigureAwait(false);
        await using (image.ConfigureAwait(false))
        {
            if (snapshot is { } which)
            {
                await SnapshotSource.ShowAsync(image, which, name).ConfigureAwait(false);
            }

            using var digest = new DigestOutput(algorithm);
            var sink = await new BlockGraph().AttachAsync(
                new SequentialNode("digest", digest), ChildRole.None, DefaultPermissions.ForUser(write: true, resize: true)).ConfigureAwait(false);
            await using (sink.ConfigureAwait(false))
            {
                var length = image.Edge.Length;
                try
                {
                    await new CopyEngine([image.Edge], sink, new CopyOptions
                    {
                        OnCallersThread = true,
                        Parallel = Copy.CopyRemote.Is(image.Node) ? RemoteChunks : Chunks,
                        WaitsForPeers = true,
                        SparseBytes = 0,
                        KeepsHoles = true,
                        Sequential = true,
                        Flushes = false,
                        Progress = arguments.Has("progress") ? new Report(progress) : null,
                    }).RunAsync(cancellation).ConfigureAwait(false);
                }
                catch (BlockException e)
                {
                    throw new ImgFailure(ImgImages.Naming(e.Message, name, "Could not read"), 1, e);
                }

                progress.End();
                return new ImageChecksum(name, image.FormatName, length, Convert.ToHexStringLower(digest.Finish()));
            }
        }
    }

    private static HashAlgorithmName AlgorithmOf(string name)
    {
        HashAlgorithmName? algorithm = name switch
        {
            "md5" => HashAlgorithmName.MD5,
            "sha1" => HashAlgorithmName.SHA1,
            "sha256" => HashAlgorithmName.SHA256,
            "sha384" => HashAlgorithmName.SHA384,
            "sha512" => HashAlgorithmName.SHA512,
            "sha3-256" when SHA3_256.IsSupported => HashAlgorithmName.SHA3_256,
            "sha3-384" when SHA3_384.IsSupported => HashAlgorithmName.SHA3_384,
            "sha3-512" when SHA3_512.IsSupported => HashAlgorithmName.SHA3_512,
            _ => null,
        };
        return algorithm ?? throw new ImgFailure($"There is no hash '{name}' here (see checksum --help)");
    }

    private static string Json(List<ImageChecksum> answers, string hash, bool isList)
    {
        var json = new JsonText();
        if (isList)
        {
            json.BeginArray();
        }

        foreach (var answer in answers)
        {
            json.BeginObject();
            json.Add("filename", answer.Name);
            json.Add("format", answer.Format);
            json.Add("virtual-size", answer.Length);
            json.Add("hash", hash);
            json.Add("checksum", answer.Digest);
            json.EndObject();
        }

        if (isList)
        {
            json.EndArray();
        }

        return json + "\n";
    }

    private sealed class Report(ImgProgress progress) : IProgress<CopyProgress>
    {
        void IProgress<CopyProgress>.Report(CopyProgress value) => progress.Report(value.BytesDone, value.BytesTotal);
    }
}
