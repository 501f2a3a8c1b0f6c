using Byre.Blockdev.Open;
using Byre.Formats.Luks;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Blockdev.Drivers;

/// <summary>The driver "luks": the disk is encrypted, behind a LUKS header.</summary>
internal sealed class LuksDriver : IBlockDriver
{
    /// <inheritdoc/>
    public string Name => "luks";

    /// <inheritdoc/>
    public bool IsFormat => true;

    /// <inheritdoc/>
    public async ValueTask<BlockNode> OpenAsync(NodeOpening opening)
    {
        const ChildRole role = ChildRole.Metadata | ChildRole.Data | ChildRole.Primary;
        var writable = !opening.Settings.ReadOnly && !opening.File.Node.IsReadOnly;
        var file = await opening.ChangeFileAsync(role, DefaultPermissions.ForFormat(role, NodeOpening.Looking, writable)).ConfigureAwait(false);
        var passphrase = opening.TakePassphrase("key-secret", "");
        opening.Options.CheckEmpty(Name);
        return opening.Finish(await LuksNode.OpenAsync(file, passphrase, !writable).ConfigureAwait(false));
    }
}
