using System.Globalization;
using System.Numerics;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Create;

/// <summary>Creates qcow2 images out of options.</summary>
internal static class Qcow2Creation
{
    private const string Encryption = "encrypt.";

    /// <summary>Creates one, and its data file.</summary>
    public static async ValueTask CreateAsync(CreatePlan plan)
    {
        var options = OptionsOf(plan);
        Qcow2Creator.Validate(options);
        var graph = new BlockGraph();
        if (options.DataFileName is not { } name)
        {
            await CreateAsync(graph, plan, null, options).ConfigureAwait(false);
            return;
        }

        var data = await FileCreation.BeginAsync(graph, name, plan).ConfigureAwait(false);
        await using (data.ConfigureAwait(false))
        {
            await CreateAsync(graph, plan, data.Edge, options).ConfigureAwait(false);
            await data.AllocateFirstBlockAsync().ConfigureAwait(false);
            await data.CompleteAsync().ConfigureAwait(false);
        }
    }

    /// <summary>The typed options of a plan.</summary>
    /// <exception cref="BlockException">A value is none of those allowed, or is not supported.</exception>
    internal static Qcow2CreateOptions OptionsOf(CreatePlan plan)
    {
        var clusterSize = Number(plan, "cluster_size");
        if (!BitOperations.IsPow2(clusterSize) || clusterSize is < 512 or > 2 << 20)
        {
            throw Invalid($"cluster_size must be a power of two from 512 to 2M, not {clusterSize}");
        }

        return new Qcow2CreateOptions
        {
            Size = FileCreation.RoundUp(plan.Size),
            Version = plan.Find("compat") switch
            {
                null or "1.1" or "v3" => 3,
                "0.10" or "v2" => 2,
                var other => throw Invalid($"'{other}' is not a value for compat (v2, v3, 0.10, 1.1)"),
            },
            ClusterBits = BitOperations.Log2((ulong)clusterSize),
            RefcountBits = Number(plan, "refcount_bits") is var bits and >= 1 and <= 64 && BitOperations.IsPow2(bits)
                ? (int)bits
                : throw Invalid($"refcount_bits must be a power of two from 1 to 64, not {plan.Find("refcount_bits")}"),
            LazyRefcounts = plan.Find("lazy_refcounts") is "on",
            ExtendedL2 = plan.Find("extended_l2") is "on",
            CompressionType = plan.Find("compression_type") switch
            {
                "zlib" => Qcow2CompressionType.Zlib,
                "zstd" => Qcow2CompressionType.Zstd,
                var other => throw Invalid($"'{other}' is not a value for compression_type (zlib, zstd)"),
            },
            BackingFile = plan.Find("backing_file"),
            BackingFormat = plan.Find("backing_fmt"),
            DataFileName = plan.Find("data_file"),
            DataFileRaw = plan.Find("data_file_raw") is "on",
            Preallocation = RawCreation.PreallocationOf(plan),
            Encryption = EncryptionOf(plan),
        };
    }

    private static async ValueTask CreateAsync(BlockGraph graph, CreatePlan plan, BlockEdge? data, Qcow2CreateOptions options)
    {
        var file = await FileCreation.BeginAsync(graph, plan.FileName, plan).ConfigureAwait(false);
        await using (file.ConfigureAwait(false))
        {
            await Qcow2Creator.CreateAsync(file.Edge, data, options).ConfigureAwait(false);
            await file.CompleteAsync().ConfigureAwait(false);
        }
    }

    /// <summary>How a plan wants an image encrypted, or null.</summary>
    internal static LuksCreateOptions? EncryptionOf(CreatePlan plan)
    {
        var format = plan.Find(Encryption + "format");
        var old = plan.Find("encryption");
        if (format is not null && old is not null)
        {
            throw Invalid("encrypt.format and encryption exclude each other");
        }

        if (format == "aes" || old == "on")
        {
            throw new BlockException(
                ErrorCode.NotSupported, "The old AES encryption of qcow2 is no protection, and images with it are not made: use encrypt.format=luks");
        }

        if (format == "luks")
        {
            return LuksCreation.OptionsOf(plan, Encryption);
        }

        if (format is not null)
        {
            throw Invalid($"'{format}' is not a value for encrypt.format (luks)");
        }

        foreach (var (key, _) in plan.Values)
        {
            if (key.StartsWith(Encryption, StringComparison.Ordinal))
            {
                throw Invalid($"{key} is given without encrypt.format");
            }
        }

        return null;
    }

    private static long Number(CreatePlan plan, string key) => long.Parse(plan.Find(key)!, CultureInfo.InvariantCulture);

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
