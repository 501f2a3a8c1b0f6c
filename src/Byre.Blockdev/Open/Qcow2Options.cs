using System.Numerics;
using Byre.Blockdev.Options;
using Byre.Formats.Qcow2;
using Byre.Nodes;

namespace Byre.Blockdev.Open;

/// <summary>Reads the options of the qcow2 driver.</summary>
internal static class Qcow2Options
{
    private const long LongestInterval = 4_000_000; // what a timer takes: some 46 days
    private const long LeastRefcountCacheClusters = 4; // as QEMU: what random writes need at once

    private static readonly (string Key, OverlapChecks Check)[] Checks =
    [
        ("main-header", OverlapChecks.MainHeader),
        ("active-l1", OverlapChecks.ActiveL1),
        ("active-l2", OverlapChecks.ActiveL2),
        ("refcount-table", OverlapChecks.RefcountTable),
        ("refcount-block", OverlapChecks.RefcountBlock),
        ("snapshot-table", OverlapChecks.SnapshotTable),
        ("inactive-l1", OverlapChecks.InactiveL1),
        ("inactive-l2", OverlapChecks.InactiveL2),
        ("bitmap-directory", OverlapChecks.BitmapDirectory),
    ];

    /// <summary>Takes them; those of children are left.</summary>
    /// <param name="options">The node's options.</param>
    /// <param name="settings">What all nodes have.</param>
    /// <param name="clusterSize">The image's cluster size, in bytes.</param>
    /// <param name="version">The image's version.</param>
    /// <param name="forCheck">The image is opened to be checked.</param>
    public static Qcow2OpenOptions Take(OptionSet options, NodeSettings settings, int clusterSize, int version, bool forCheck)
    {
        var result = new Qcow2OpenOptions { ReadOnly = settings.ReadOnly, ForCheck = forCheck };
        var lazy = options.TakeSwitch("lazy-refcounts");
        var noUnref = options.TakeSwitch("discard-no-unref") ?? false;
        if (version < 3 && (lazy == true || noUnref))
        {
            throw Invalid($"{(noUnref ? "discard-no-unref" : "lazy-refcounts")} needs an image of version 3 (compat=1.1)");
        }

        result = TakeCacheTuning(options, clusterSize, result);
        var (l2, refcounts) = TakeCaches(options, clusterSize, result);
        return result with
        {
            LazyRefcounts = lazy,
            L2CacheBytes = l2,
            RefcountCacheBytes = refcounts,
            OverlapChecks = TakeOverlapChecks(options),
            PassDiscardRequest = options.TakeSwitch("pass-discard-request") ?? settings.DiscardUnmap,
            PassDiscardSnapshot = options.TakeSwitch("pass-discard-snapshot") ?? result.PassDiscardSnapshot,
            PassDiscardOther = options.TakeSwitch("pass-discard-other") ?? result.PassDiscardOther,
            DiscardNoUnref = noUnref,
        };
    }

    private static Qcow2OpenOptions TakeCacheTuning(OptionSet options, int clusterSize, Qcow2OpenOptions defaults)
    {
        var unit = options.TakeSize("l2-cache-entry-size");
        if (unit is { } bytes && (bytes < 512 || bytes > clusterSize || !BitOperations.IsPow2(bytes)))
        {
            throw Invalid($"l2-cache-entry-size must be a power of two from 512 to the cluster size ({clusterSize})");
        }

        var seconds = options.TakeNumber("cache-clean-interval");
        if (seconds > LongestInterval)
        {
            throw Invalid($"cache-clean-interval may not be longer than {LongestInterval} seconds");
        }

        return defaults with
        {
            L2SliceBytes = (int?)unit,
            CacheCleanInterval = seconds is { } s ? TimeSpan.FromSeconds(s) : defaults.CacheCleanInterval,
        };
    }

    private static (long L2, long Refcounts) TakeCaches(OptionSet options, int clusterSize, Qcow2OpenOptions defaults)
    {
        var all = options.TakeSize("cache-size");
        var l2 = options.TakeSize("l2-cache-size");
        var refcounts = options.TakeSize("refcount-cache-size");
        if (all is not { } total)
        {
            return (l2 ?? defaults.L2CacheBytes, refcounts ?? defaults.RefcountCacheBytes);
        }

        if (l2 is not null && refcounts is not null)
        {
            throw Invalid("Of cache-size, l2-cache-size and refcount-cache-size only two can be given");
        }

        if (l2 > total || refcounts > total)
        {
            throw Invalid($"{(l2 > total ? "l2" : "refcount")}-cache-size may not be greater than cache-size");
        }

        if (l2 is null && refcounts is null)
        {
            refcounts = Math.Min(total, Math.Max(LeastRefcountCacheClusters * clusterSize, total - defaults.L2CacheBytes));
        }

        return (l2 ?? total - refcounts!.Value, refcounts ?? total - l2!.Value);
    }

    private static OverlapChecks TakeOverlapChecks(OptionSet options)
    {
        var plain = options.TakeWord("overlap-check", "none", "constant", "cached", "all");
        var below = new OptionSet(options.TakeBelow("overlap-check"));
        var template = below.TakeWord("template", "none", "constant", "cached", "all");
        if (plain is not null && template is not null && plain != template)
        {
            throw Invalid($"overlap-check ({plain}) and overlap-check.template ({template}) contradict each other");
        }

        var checks = (plain ?? template) switch
        {
            "none" => OverlapChecks.None,
            "constant" => OverlapChecks.Constant,
            "all" => OverlapChecks.All,
            _ => OverlapChecks.Cached,
        };
        foreach (var (key, check) in Checks)
        {
            checks = below.TakeSwitch(key) switch
            {
                true => checks | check,
                false => checks & ~check,
                null => checks,
            };
        }

        below.CheckEmpty("qcow2 (overlap-check)");
        return checks;
    }

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
