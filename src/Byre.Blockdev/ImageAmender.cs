using Byre.Blockdev.Amend;
using Byre.Blockdev.Create;
using Byre.Blockdev.Options;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>Changes options of images that exist.</summary>
public static class ImageAmender
{
    private const string Encryption = "encrypt.";

    /// <summary>Changes options; the image must be opened anew before it is used again.</summary>
    /// <param name="image">The image, open for writing. Nobody else uses it.</param>
    /// <param name="options">Options as they were given, in their order; of two of a name the last one holds.</param>
    /// <param name="force">Changes of keys are made that may lock the image for ever.</param>
    /// <param name="secrets">The secrets that options refer to, or null; they belong to the caller.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: an option is unknown, has no value of its kind, or is for creating images only.
    /// <see cref="ErrorCode.NotSupported"/>: nothing of such an image can be changed, or not that. Or a request failed.
    /// </exception>
    public static async ValueTask AmendAsync(OpenImage image, IReadOnlyList<KeyValuePair<string, string?>> options, bool force, SecretStore? secrets = null)
    {
        ArgumentNullException.ThrowIfNull(image);
        ArgumentNullException.ThrowIfNull(options);
        var node = BackingChain.SkipFilters(image.Node);
        if (AmendOptions.Describe(node.DriverName) is not { } known)
        {
            throw new BlockException(ErrorCode.NotSupported, $"Nothing of an image of the format {node.DriverName} can be changed");
        }

        var given = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (key, value) in options)
        {
            given[key] = value ?? "on";
        }

        CheckNames(node.DriverName, known, given);
        if (node is LuksNode volume)
        {
            await AmendKeysAsync(volume, KeySlotOptions.Read(given, secrets), force).ConfigureAwait(false);
            return;
        }

        var keys = OptionTree.Below(given, "encrypt");
        var set = new OptionSet(given);
        set.TakeBelow("encrypt");
        var typed = Read(set, (Qcow2Node)node);
        var change = keys.Count == 0 ? null
            : node is Qcow2Node { IsEncrypted: true } ? KeySlotOptions.Read(keys, secrets)
            : throw Invalid($"The image is not encrypted: there is nothing to change for {Encryption}{keys.Keys.First()}");
        var drain = await node.DrainAsync().ConfigureAwait(false);
        await using (drain.ConfigureAwait(false))
        {
            if (change is not null)
            {
                await ((IKeySlots)node).ChangeKeySlotsAsync(change, force).ConfigureAwait(false);
            }

            await ((Qcow2Node)node).AmendAsync(typed).ConfigureAwait(false);
        }
    }

    private static async ValueTask AmendKeysAsync(LuksNode volume, KeySlotChange change, bool force)
    {
        var drain = await volume.DrainAsync().ConfigureAwait(false);
        await using (drain.ConfigureAwait(false))
        {
            await volume.ChangeKeySlotsAsync(change, force).ConfigureAwait(false);
        }
    }

    private static void CheckNames(string format, IReadOnlyList<CreateOption> known, Dictionary<string, string> given)
    {
        foreach (var key in given.Keys)
        {
            if (!known.Any(o => o.Name == key))
            {
                throw CreateOptions.Describe(format)?.Any(o => o.Name == key) == true
                    ? Invalid($"The option '{key}' is for creating images only")
                    : Invalid($"The format '{format}' has no option '{key}'");
            }
        }
    }

    private static Qcow2AmendOptions Read(OptionSet set, Qcow2Node node)
    {
        var header = node.Header;
        var name = set.Take("backing_file");
        var format = set.Take("backing_fmt");
        if ((name is not null && name != (header.BackingFile ?? "")) || (format is not null && format != (header.BackingFormat ?? "")))
        {
            throw Invalid("The backing file is not changed here: rebase does that");
        }

        var bits = set.TakeNumber("refcount_bits");
        return new Qcow2AmendOptions
        {
            Version = set.Take("compat") switch
            {
                null => null,
                "1.1" or "v3" => 3,
                "0.10" or "v2" => 2,
                var other => throw Invalid($"'{other}' is not a value for compat (v2, v3, 0.10, 1.1)"),
            },
            RefcountBits = bits is null ? null : (int)Math.Min(bits.Value, int.MaxValue),
            LazyRefcounts = set.TakeSwitch("lazy_refcounts"),
            DataFileName = set.Take("data_file"),
            DataFileRaw = set.TakeSwitch("data_file_raw"),
            Size = set.TakeSize("size"),
        };
    }

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
