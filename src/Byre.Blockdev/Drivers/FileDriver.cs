using Byre.Blockdev.Open;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Blockdev.Drivers;

/// <summary>The drivers "file" (regular files) and "host_device" (devices).</summary>
internal sealed class FileDriver(string name) : IBlockDriver
{
    /// <inheritdoc/>
    public string Name => name;

    /// <inheritdoc/>
    public bool IsFormat => false;

    /// <inheritdoc/>
    public ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        var options = opening.Options;
        var settings = opening.Settings;
        var path = options.Take("filename") is { Length: > 0 } given ? given
            : throw new BlockException(ErrorCode.Invalid, $"The {name} driver needs a filename");
        var locking = options.TakeWord("locking", "auto", "on", "off");
        CheckEngine(options.TakeWord("aio", "threads", "native", "io_uring"), settings, path);

        // What follows is checked and changes nothing: QEMU drops the page cache where a guest arrives by live migration, which
        // nobody does here, and gathers requests for kernel queues (aio=native, io_uring), where these go straight to the kernel.
        options.TakeSwitch("drop-cache");
        options.TakeSwitch("x-check-cache-dropped");
        options.TakeNumber("aio-max-batch");
        options.CheckEmpty(name);

        var node = FileNode.Open(new FileNodeOptions
        {
            Path = path,
            ReadOnly = settings.ReadOnly,
            AutoReadOnly = settings.AutoReadOnly,
            Cache = settings.Cache,
            DiscardUnmap = settings.DiscardUnmap,
            Locking = locking is not "off",
            Blocking = opening.Session.BlockingIo,
            WriteBehind = opening.Session.WriteBehind,
        });
        try
        {
            CheckKind(node, path);
            opening.Guard.Enter(IdentityOf(node), path);
        }
        catch
        {
            node.DisposeAsync().AsTask().GetAwaiter().GetResult(); // a file that was not used closes at once
            throw;
        }

        return new(opening.Finish(node));
    }

    private static string IdentityOf(FileNode node) => node.Identity is (0, 0)
        ? Graph.BackingLoopGuard.IdentityOf(node.FileName)
        : $"{node.Identity.Device}:{node.Identity.Inode}";

    private static void CheckEngine(string? engine, NodeSettings settings, string path)
    {
        if (engine is "native" && !settings.Cache.Direct)
        {
            throw new BlockException(ErrorCode.Invalid, $"Could not open '{path}': aio=native needs cache.direct=on", path);
        }
    }

    private void CheckKind(FileNode node, string path)
    {
        if (name == "host_device" && !node.IsDevice)
        {
            throw new BlockException(ErrorCode.Invalid, $"Could not open '{path}': the host_device driver needs a device", path);
        }
    }
}
