using Byre.Blockdev.Open;
using Byre.Crypto;
using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>The driver "qcow2": opens the data file and the backing chain as the header or the options name them.</summary>
internal sealed class Qcow2Driver : IBlockDriver
{
    private const IncompatibleFeatures Unclean = IncompatibleFeatures.Dirty | IncompatibleFeatures.Corrupt;

    /// <inheritdoc/>
    public string Name => "qcow2";

    /// <inheritdoc/>
    public bool IsFormat => true;

    /// <inheritdoc/>
    public async ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        // The lock comes before the first byte is read: nobody changes the metadata from here on.
        await TakeFileAsync(opening, ChildRole.Metadata | ChildRole.Data | ChildRole.Primary).ConfigureAwait(false);
        var header = await Qcow2HeaderReader.ReadAsync(opening.File, opening.Session.ForCheck).ConfigureAwait(false);
        var options = Qcow2Options.Take(
            opening.Options, opening.Settings, header.ClusterSize, header.Version, opening.Session.ForCheck);
        options = options with { ReadOnly = options.ReadOnly || opening.File.Node.IsReadOnly, Blocking = opening.Session.BlockingIo };
        if (options is { ReadOnly: false, ForCheck: false } && (header.Incompatible & Unclean) == IncompatibleFeatures.Dirty)
        {
            await Qcow2Checker.RepairDirtyAsync(opening.File, header).ConfigureAwait(false);
            header = await Qcow2HeaderReader.ReadAsync(opening.File).ConfigureAwait(false);
        }

        options = options with { Passphrase = TakePassphrase(opening, header) };
        BlockEdge? dataFile = null;
        if (header.HasDataFile)
        {
            await TakeFileAsync(opening, ChildRole.Metadata | ChildRole.Primary).ConfigureAwait(false);
            dataFile = await ReferenceOpener.OpenDataFileAsync(opening, header.DataFileName).ConfigureAwait(false);
        }
        else
        {
            ReferenceOpener.CheckNoDataFile(opening);
        }

        var backing = await ReferenceOpener.OpenBackingAsync(opening, header.BackingFile, header.BackingFormat).ConfigureAwait(false);
        opening.Options.CheckEmpty(Name);
        var node = await Qcow2Node.OpenAsync(opening.File, header, dataFile, backing, options).ConfigureAwait(false);
        return opening.Finish(node);
    }

    /// <summary>The passphrase of an encrypted image; null where it is not, or is opened to be checked without one.</summary>
    /// <exception cref="BlockException">It is not given, or options for another encryption are.</exception>
    private static SecretBytes? TakePassphrase(NodeOpening opening, Qcow2Header header)
    {
        const string format = "encrypt.format";
        var wanted = opening.Options.TakeWord(format, "luks", "aes");
        var found = header.CryptMethod switch
        {
            EncryptionHeader.None => null,
            EncryptionHeader.Aes => "aes",
            _ => "luks",
        };
        if (wanted is not null && wanted != found)
        {
            throw new BlockException(
                ErrorCode.Invalid,
                found is null ? $"encrypt.format is '{wanted}', and the image is not encrypted"
                    : $"encrypt.format is '{wanted}', and the image has '{found}'");
        }

        if (found is null)
        {
            opening.Options.Take("encrypt.key-secret"); // means nothing here, and is no mistake to QEMU's tools
            return null;
        }

        return opening.Session.ForCheck && !opening.Options.Rest.ContainsKey("encrypt.key-secret")
            ? null : opening.TakePassphrase("key-secret", "encrypt.");
    }

    private static async ValueTask TakeFileAsync(NodeOpening opening, ChildRole role)
    {
        var writable = !opening.Settings.ReadOnly && !opening.File.Node.IsReadOnly;
        await opening.ChangeFileAsync(role, DefaultPermissions.ForFormat(role, NodeOpening.Looking, writable)).ConfigureAwait(false);
    }
}
