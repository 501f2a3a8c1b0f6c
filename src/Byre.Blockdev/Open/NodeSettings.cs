using Byre.Blockdev.Options;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Blockdev.Open;

/// <summary>The options that every driver has. A child takes those of its parent for its own, unless it is given others.</summary>
internal sealed record NodeSettings
{
    /// <summary>The node's name in the graph; empty: the graph makes one up.</summary>
    public string NodeName { get; init; } = "";

    /// <summary>The node is not written.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>A file that may not be written is opened for reading only.</summary>
    public bool AutoReadOnly { get; init; }

    /// <summary>Other programs may use the image at the same time; the node must be read-only.</summary>
    public bool ForceShare { get; init; }

    /// <summary>How writes reach stable storage.</summary>
    public CacheMode Cache { get; init; }

    /// <summary>Discards give space back; else they do nothing.</summary>
    public bool DiscardUnmap { get; init; } = true;

    /// <summary>What becomes of writes that hold nothing but zeroes.</summary>
    public ZeroDetection ZeroDetection { get; init; }

    /// <summary>What a child begins with: discards are passed on by the formats as they see fit, so that children do them.</summary>
    public NodeSettings ForChild => this with { NodeName = "", DiscardUnmap = true, ZeroDetection = ZeroDetection.Off };

    /// <summary>What a backing file begins with: it is only read.</summary>
    public NodeSettings ForBacking => ForChild with { ReadOnly = true, AutoReadOnly = false };

    /// <summary>Takes the common options out of a node's options.</summary>
    /// <exception cref="BlockException">One is not valid, or two contradict each other.</exception>
    public NodeSettings With(OptionSet options)
    {
        var result = this with
        {
            NodeName = options.Take("node-name") ?? NodeName,
            ReadOnly = options.TakeSwitch("read-only") ?? ReadOnly,
            AutoReadOnly = options.TakeSwitch("auto-read-only") ?? AutoReadOnly,
            ForceShare = options.TakeSwitch("force-share") ?? ForceShare,
            Cache = Cache with
            {
                Direct = options.TakeSwitch("cache.direct") ?? Cache.Direct,
                NoFlush = options.TakeSwitch("cache.no-flush") ?? Cache.NoFlush,
            },
            DiscardUnmap = options.TakeWord("discard", "ignore", "off", "unmap", "on") switch
            {
                null => DiscardUnmap,
                var word => word is "unmap" or "on",
            },
            ZeroDetection = options.TakeWord("detect-zeroes", "off", "on", "unmap") switch
            {
                null => ZeroDetection,
                "on" => ZeroDetection.On,
                "unmap" => ZeroDetection.Unmap,
                _ => ZeroDetection.Off,
            },
        };
        if (result is { ForceShare: true, ReadOnly: false })
        {
            throw new BlockException(ErrorCode.Invalid, "An image can be shared with force-share only where it is opened for reading only");
        }

        return result is { ZeroDetection: ZeroDetection.Unmap, DiscardUnmap: false }
            ? throw new BlockException(ErrorCode.Invalid, "detect-zeroes=unmap needs discard=unmap")
            : result;
    }

    /// <summary>Gives a new node what holds for it, before anybody uses it.</summary>
    public T Apply<T>(T node)
        where T : BlockNode
    {
        node.Name = NodeName;
        node.ForceShare = ForceShare;
        node.IgnoresDiscards = !DiscardUnmap;
        node.ZeroDetection = ZeroDetection;
        return node;
    }
}
