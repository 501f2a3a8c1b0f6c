using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Cli.Io;

/// <summary>Opens images with <see cref="ImageOpener"/>; what they name is opened too, as their user asked for them.</summary>
internal sealed class IoOpener(Action<string> warn, ObjectStore objects) : IIoOpener
{
    /// <inheritdoc/>
    public async ValueTask<IoImage> OpenAsync(IoOpenRequest request)
    {
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var list in request.Options)
        {
            OptionTree.AddList(options, list);
        }

        if (request is { ForceShare: true, ReadOnly: false } && options.GetValueOrDefault("read-only") is not ("on" or "yes" or "true"))
        {
            throw new BlockException(ErrorCode.Invalid, "An image can be shared (-U) only where it is opened for reading only (-r)");
        }

        var image = await ImageOpener.OpenAsync(
            new OpenOptions
            {
                FileName = request.FileName,
                Format = request.Format,
                Options = options,
                ReadOnly = request.ReadOnly,
                ForceShare = request.ForceShare,
                Cache = CacheMode.Parse(request.CacheMode) ?? CacheMode.Writeback,
                DiscardUnmap = request.DiscardMode is null or "unmap" or "on",
                Snapshot = request.Snapshot,
                CopyOnRead = request.CopyOnRead,
                Gate = OpenGate.AllowAll,
                Warn = warn,
                Objects = objects,
            },
            DefaultPermissions.ForUser(write: !request.ReadOnly, resize: !request.ReadOnly)).ConfigureAwait(false);
        return new IoImage(image.Edge, request with { ReadOnly = image.IsReadOnly });
    }
}
