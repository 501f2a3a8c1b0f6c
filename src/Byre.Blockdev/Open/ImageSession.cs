using System.Runtime.CompilerServices;
using Byre.Blockdev.Drivers;
using Byre.Blockdev.Options;
using Byre.Crypto;
using Byre.Formats.Raw;
using Byre.Graph;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Blockdev.Open;

/// <summary>Opens nodes and all below them, for one image that a user wants.</summary>
internal sealed class ImageSession(OpenOptions wanted)
{
    private const int ProbeLength = 512;

    /// <summary>The graph the nodes belong to.</summary>
    public BlockGraph Graph { get; } = wanted.Graph ?? new BlockGraph();

    /// <summary>Decides about what images name.</summary>
    public OpenGate Gate => wanted.Gate;

    /// <summary>Host files do their I/O on the caller's thread.</summary>
    public bool BlockingIo => wanted.BlockingIo;

    /// <summary>What is written to host files leaves the page cache soon.</summary>
    public bool WriteBehind => wanted.WriteBehind;

    /// <summary>NBD servers are asked for the layers behind them too.</summary>
    public bool LayersBehind => wanted.LayersBehind;

    /// <summary>What failures call NBD servers; null for their addresses.</summary>
    public string? ServerTitle => wanted.ServerTitle;

    /// <summary>Backing files are not opened.</summary>
    public bool NoBacking => wanted.NoBacking;

    /// <summary>The image is opened to be checked.</summary>
    public bool ForCheck => wanted.ForCheck;

    /// <summary>The node, of those that were opened, whose format nobody named and that was opened last: the topmost one.</summary>
    public BlockNode? ProbedNode { get; private set; }

    /// <summary>A failure that names the file and the image that names it already, or null.</summary>
    public BlockException? Explained { get; set; }

    /// <summary>The passphrase in a secret.</summary>
    /// <exception cref="BlockException">There is no such secret.</exception>
    public SecretBytes Passphrase(string id) => (wanted.Secrets ?? wanted.Objects?.Secrets) is { } secrets
        ? secrets.Passphrase(id)
        : throw new BlockException(ErrorCode.NotFound, $"No secret with id '{id}'");

    /// <summary>A client's TLS credentials, which belong to the caller.</summary>
    /// <exception cref="BlockException">There are none with this id.</exception>
    public IClientSecurity TlsClient(string id) => wanted.Objects is { } objects
        ? objects.TlsClient(id)
        : throw new BlockException(ErrorCode.NotFound, $"No TLS credentials with id '{id}'");

    /// <summary>Takes a warning.</summary>
    public void Warn(string text) => wanted.Warn?.Invoke(text);

    /// <summary>Opens a child out of its parent's options: a node that exists, where they only name it, or a new one.</summary>
    /// <param name="options">The parent's options; those of the child are taken out.</param>
    /// <param name="key">The child's name.</param>
    /// <param name="name">A file name for it, or null.</param>
    /// <param name="inherited">What it has from its parent.</param>
    /// <param name="wantsImage">It is an image of a format, not a file.</param>
    /// <param name="guard">The chain it belongs to.</param>
    public async ValueTask<BlockNode> OpenChildNodeAsync(
        OptionSet options, string key, string? name, NodeSettings inherited, bool wantsImage, BackingLoopGuard guard)
    {
        var below = options.TakeBelow(key);
        if (options.TakeReference(key) is { } reference)
        {
            return below.Count > 0
                ? throw new BlockException(ErrorCode.Invalid, $"\"{key}\" is given both as the name of a node ('{reference}') and by options")
                : Graph.Find(reference) ?? throw new BlockException(ErrorCode.NotFound, $"There is no node '{reference}' for \"{key}\"");
        }

        return await OpenNodeAsync(name, below, inherited, wantsImage, guard, OptionTree.Below(options.JsonValues, key)).ConfigureAwait(false);
    }

    /// <summary>Opens a node.</summary>
    /// <param name="name">Its file name, or null.</param>
    /// <param name="options">Its options. They go before those in a "json:" name.</param>
    /// <param name="inherited">What it has from its parent.</param>
    /// <param name="wantsImage">It is an image of a format, which is probed where no driver is named.</param>
    /// <param name="guard">The chain it belongs to.</param>
    /// <param name="jsonValues">How JSON wrote options that are no texts; null for nothing.</param>
    /// <returns>A node that nobody uses yet, unless the options refer to one that exists.</returns>
    public async ValueTask<BlockNode> OpenNodeAsync(
        string? name, Dictionary<string, string> options, NodeSettings inherited, bool wantsImage, BackingLoopGuard guard,
        IReadOnlyDictionary<string, string>? jsonValues = null)
    {
        if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
        {
            await Task.Yield(); // a deep chain goes on with an empty stack
        }

        if (name is not null && FileNames.IsJson(name))
        {
            var inName = new Dictionary<string, string>(StringComparer.Ordinal);
            var values = new Dictionary<string, string>(StringComparer.Ordinal);
            OptionTree.AddJson(inName, FileNames.JsonOf(name), values);
            foreach (var key in options.Keys)
            {
                values.Remove(key);
            }

            jsonValues = Merge(values, jsonValues ?? new Dictionary<string, string>(StringComparer.Ordinal));
            options = Merge(inName, options);
            name = null;
        }

        var set = new OptionSet(options, jsonValues);
        var given = set.Take("driver");
        var driver = given is null ? null : Find(given);
        if (driver is null && !wantsImage)
        {
            driver = ProtocolOf(name, set);
        }

        if (driver is { IsFormat: false })
        {
            return await OpenProtocolAsync(driver, name, set, inherited, guard).ConfigureAwait(false);
        }

        var settings = inherited.With(set);
        return await OpenFormatAsync(driver, name, set, settings, guard).ConfigureAwait(false);
    }

    private static IBlockDriver Find(string name) =>
        DriverRegistry.Find(name) ?? throw new BlockException(ErrorCode.Invalid, $"Unknown driver '{name}'");

    private static Dictionary<string, string> Merge(Dictionary<string, string> below, IReadOnlyDictionary<string, string> above)
    {
        foreach (var (key, value) in above)
        {
            below[key] = value;
        }

        return below;
    }

    private static IBlockDriver ProtocolOf(string? name, OptionSet set)
    {
        if (name is null)
        {
            // A name in options is a path, whatever is in it.
            return set.Rest.ContainsKey("filename")
                ? Find("file")
                : throw new BlockException(ErrorCode.Invalid, "Neither a driver nor a file is named");
        }

        return FileNames.ProtocolOf(name) switch
        {
            null => Find("file"),
            var prefix when DriverRegistry.FindByProtocol(prefix) is { } found => found,
            var prefix => throw new BlockException(ErrorCode.Invalid, $"Unknown protocol '{prefix}' in '{name}'", name),
        };
    }

    private async ValueTask<BlockNode> OpenProtocolAsync(
        IBlockDriver driver, string? name, OptionSet set, NodeSettings inherited, BackingLoopGuard guard)
    {
        var childNames = new Dictionary<string, string>(StringComparer.Ordinal);
        var options = new Dictionary<string, string>(set.Rest, StringComparer.Ordinal);
        var given = name ?? (driver.Name is "blkdebug" or "blkverify" ? options.GetValueOrDefault("filename") : null);
        if (given is not null)
        {
            options.Remove("filename");
            AddName(driver.Name, given, options, childNames);
        }

        var rest = new OptionSet(options, set.JsonValues);
        var opening = new NodeOpening(this, rest, inherited.With(rest), guard) { ChildNames = childNames };
        await using (opening.ConfigureAwait(false))
        {
            return await driver.OpenAsync(opening).ConfigureAwait(false);
        }
    }

    /// <summary>Turns a protocol's name into options, and into names of children.</summary>
    private static void AddName(string driver, string name, Dictionary<string, string> options, Dictionary<string, string> childNames)
    {
        if (driver is not ("blkdebug" or "blkverify"))
        {
            var prefix = driver + ":";
            var isPath = driver is "file" or "host_device" && name.StartsWith(prefix, StringComparison.Ordinal);
            options["filename"] = isPath ? name[prefix.Length..] : name;
            return;
        }

        var parsed = FilterFileNames.Parse(name);
        if (parsed is null || parsed["driver"] != driver)
        {
            throw new BlockException(ErrorCode.Invalid, $"'{name}' is no name for the {driver} driver, which begins with '{driver}:'", name);
        }

        foreach (var (key, value) in parsed)
        {
            switch (key)
            {
                case "driver":
                    break;
                case "image.filename" or "test.filename":
                    childNames[key[..^".filename".Length]] = value;
                    break;
                case "raw.file.filename":
                    childNames["raw"] = value;
                    break;
                default:
                    options.TryAdd(key, value);
                    break;
            }
        }
    }

    private async ValueTask<BlockNode> OpenFormatAsync(
        IBlockDriver? driver, string? name, OptionSet set, NodeSettings settings, BackingLoopGuard guard)
    {
        if (name is null && !set.HasChild("file"))
        {
            throw new BlockException(
                ErrorCode.Invalid, driver is null ? "Neither a driver nor a file is named" : $"No block device is given for \"file\" of the {driver.Name} image");
        }

        var wasProbed = driver is null;
        var opening = new NodeOpening(this, set, settings, guard) { WasProbed = wasProbed, Name = name };
        await using (opening.ConfigureAwait(false))
        {
            var file = await OpenChildNodeAsync(set, "file", name, settings.ForChild, wantsImage: false, guard).ConfigureAwait(false);
            opening.File = await opening.AttachAsync(file, ChildRole.None, NodeOpening.Looking, "file").ConfigureAwait(false);
            driver ??= await ProbeAsync(opening.File).ConfigureAwait(false);
            var node = await driver.OpenAsync(opening).ConfigureAwait(false);
            ProbedNode = wasProbed ? node : ProbedNode;
            return node;
        }
    }

    private static async ValueTask<IBlockDriver> ProbeAsync(BlockEdge file)
    {
        var head = new byte[Math.Min(ProbeLength, file.Length)];
        await file.ReadAsync(0, head).ConfigureAwait(false);
        var name = FormatMagic.Probe(head) ?? "raw";
        return DriverRegistry.Find(name) is { IsFormat: true } driver
            ? driver
            : throw new BlockException(
                ErrorCode.NotSupported, $"Could not open '{file.Node.FileName}': it is in the {name} format, which is not supported", file.Node.FileName);
    }
}
