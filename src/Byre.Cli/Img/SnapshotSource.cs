using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>An internal snapshot that is read instead of an image's disk (-l).</summary>
internal static class SnapshotSource
{
    private const string Prefix = "snapshot.";

    /// <summary>Reads what follows -l: "snapshot.id=ID,snapshot.name=NAME", or an id or a name.</summary>
    /// <exception cref="ImgFailure">It has another key, or none of these two.</exception>
    public static SnapshotSelector Parse(string text)
    {
        if (!text.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return SnapshotSelector.Of(text);
        }

        string? id = null, name = null;
        foreach (var (key, value) in OptionTree.ParseList(text))
        {
            if (value is null || key is not ("snapshot.id" or "snapshot.name"))
            {
                throw new ImgFailure($"'{text}' names no snapshot: it is 'snapshot.id=ID', 'snapshot.name=NAME', both with a comma between, or an id or a name");
            }

            (id, name) = key == "snapshot.id" ? (value, name) : (id, value);
        }

        return new SnapshotSelector(id, name);
    }

    /// <summary>Shows the snapshot in an image that was opened for reading.</summary>
    /// <exception cref="ImgFailure">There is none; the message names the image.</exception>
    public static async ValueTask ShowAsync(OpenImage image, SnapshotSelector which, string name)
    {
        if (image.Node is not ISnapshotStore store)
        {
            throw new ImgFailure($"'{name}': images of the format {image.Node.DriverName} have no internal snapshots to read");
        }

        try
        {
            await store.ShowSnapshotAsync(which).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure(ImgImages.Naming(e.Message, name, "Could not read a snapshot of"), 1, e);
        }
    }

    /// <summary>What keeps an image's snapshots, or null.</summary>
    public static ISnapshotStore? StoreOf(OpenImage image) => BackingChain.SkipFilters(image.Node) as ISnapshotStore;
}
