using Byre.Blockdev.Options;
using Byre.Crypto;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Open;

/// <summary>
/// One node that is being opened: what its driver needs to know, and the children that it has got so far, which are closed
/// again unless the node takes them over.
/// </summary>
internal sealed class NodeOpening(ImageSession session, OptionSet options, NodeSettings settings, BackingLoopGuard guard) : IAsyncDisposable
{
    /// <summary>What a child's edge uses until the node's own users decide: it looks, and is in nobody's way.</summary>
    public static PermissionSet Looking => DefaultPermissions.ForceShare;

    private readonly List<BlockEdge> children = [];

    /// <summary>What is being opened as a whole.</summary>
    public ImageSession Session => session;

    /// <summary>The node's own options; the driver takes out what it knows.</summary>
    public OptionSet Options => options;

    /// <summary>What every node has, whatever its driver.</summary>
    public NodeSettings Settings => settings;

    /// <summary>The files of the chain so far.</summary>
    public BackingLoopGuard Guard => guard;

    /// <summary>Names of children by their keys, where the node's own name held them ("blkverify:RAW:IMAGE").</summary>
    public IReadOnlyDictionary<string, string> ChildNames { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>The file name it was opened by, or null.</summary>
    public string? Name { get; init; }

    /// <summary>Nobody named the driver.</summary>
    public bool WasProbed { get; init; }

    /// <summary>The file of a format; it looks only, until <see cref="ChangeFileAsync"/>.</summary>
    public BlockEdge File { get; set; } = null!;

    /// <summary>Opens a child out of the node's options.</summary>
    /// <param name="key">Its name in the options.</param>
    /// <param name="role">What it is to the node.</param>
    /// <param name="wantsImage">It is an image of a format, not a file.</param>
    /// <param name="chain">The chain it belongs to.</param>
    /// <exception cref="BlockException">It cannot be opened, or is not named.</exception>
    public async ValueTask<BlockEdge> OpenChildAsync(string key, ChildRole role, bool wantsImage, BackingLoopGuard chain)
    {
        if (!options.HasChild(key) && !ChildNames.ContainsKey(key))
        {
            throw new BlockException(ErrorCode.Invalid, $"No block device is given for \"{key}\": it needs a driver, a file or the name of a node");
        }

        var node = await session.OpenChildNodeAsync(options, key, ChildNames.GetValueOrDefault(key), settings.ForChild, wantsImage, chain).ConfigureAwait(false);
        return await AttachAsync(node, role, Looking, key).ConfigureAwait(false);
    }

    /// <summary>Takes the id of a secret out of the options, and finds the passphrase.</summary>
    /// <param name="key">The option.</param>
    /// <param name="prefix">What stands before its name, where options of the node are read below another: "encrypt.".</param>
    /// <returns>Belongs to who opens the image.</returns>
    /// <exception cref="BlockException">It is not given, or there is no such secret.</exception>
    public SecretBytes TakePassphrase(string key, string prefix) => session.Passphrase(
        options.Take(prefix + key) ?? throw new BlockException(ErrorCode.Invalid, $"It is encrypted, and '{prefix}{key}' names no secret with its passphrase"));

    /// <summary>Attaches a child; it is let go of if the node is not opened.</summary>
    public async ValueTask<BlockEdge> AttachAsync(BlockNode node, ChildRole role, PermissionSet permissions, string key)
    {
        var edge = await session.Graph.AttachAsync(node, role, permissions, key).ConfigureAwait(false);
        children.Add(edge);
        return edge;
    }

    /// <summary>Gives the file's edge its role and what it uses and shares, with no moment without an edge.</summary>
    /// <exception cref="BlockException">Another user or another program is in the way.</exception>
    public async ValueTask<BlockEdge> ChangeFileAsync(ChildRole role, PermissionSet permissions)
    {
        var change = await session.Graph.BeginChangeAsync().ConfigureAwait(false);
        await using (change.ConfigureAwait(false))
        {
            var edge = change.Attach(File.Node, role, permissions, "file");
            change.Remove(File);
            await change.CommitAsync().ConfigureAwait(false);
            children.Remove(File);
            children.Add(edge);
            return File = edge;
        }
    }

    /// <summary>Finishes: the node has taken the children over.</summary>
    public T Finish<T>(T node)
        where T : BlockNode
    {
        children.Clear();
        return settings.Apply(node);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        for (var i = children.Count - 1; i >= 0; i--)
        {
            try
            {
                await children[i].DisposeAsync().ConfigureAwait(false);
            }
            catch (BlockException)
            {
                // Why the node could not be opened matters more.
            }
        }

        children.Clear();
    }
}
