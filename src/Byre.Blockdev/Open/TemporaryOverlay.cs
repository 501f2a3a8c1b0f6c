using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Blockdev.Open;

/// <summary>
/// An empty qcow2 layer over an image, in a file that has no name any more once it is open: its space is given back when it is
/// closed, however the program ends.
/// </summary>
internal static class TemporaryOverlay
{
    private const ChildRole FileRole = ChildRole.Metadata | ChildRole.Data | ChildRole.Primary;

    /// <summary>Puts a layer over an image.</summary>
    /// <param name="graph">The graph of the image.</param>
    /// <param name="image">The image; it is only read from now on, and closed with the layer.</param>
    /// <param name="readOnly">The layer is not written either.</param>
    /// <returns>A node that nobody uses yet.</returns>
    /// <exception cref="BlockException">The layer cannot be made; the image is closed then.</exception>
    public static async ValueTask<BlockNode> OpenAsync(BlockGraph graph, BlockNode image, bool readOnly)
    {
        var edges = new List<BlockEdge> { await graph.AttachAsync(image, ChildRole.Backing, NodeOpening.Looking, "backing").ConfigureAwait(false) };
        try
        {
            edges.Add(await graph.AttachAsync(CreateFile(), FileRole, DefaultPermissions.Writer, "file").ConfigureAwait(false));
            await Qcow2Creator.CreateAsync(edges[1], null, new Qcow2CreateOptions
            {
                Size = image.Length,
                BackingFile = "image", // the node below is opened already: only that there is one matters
                BackingFormat = image.DriverName,
            }).ConfigureAwait(false);
            var header = await Qcow2HeaderReader.ReadAsync(edges[1]).ConfigureAwait(false);
            return await Qcow2Node.OpenAsync(edges[1], header, null, edges[0], new Qcow2OpenOptions { ReadOnly = readOnly }).ConfigureAwait(false);
        }
        catch
        {
            for (var i = edges.Count - 1; i >= 0; i--)
            {
                await edges[i].DisposeAsync().ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <summary>An empty file that only this program can reach. Flushes mean nothing: nobody reads it after a crash.</summary>
    private static FileNode CreateFile()
    {
        var parent = Environment.GetEnvironmentVariable("TMPDIR") is { Length: > 0 } named ? named
            : Directory.Exists("/var/tmp") ? "/var/tmp" : Path.GetTempPath();
        var folder = Path.Combine(parent, $"byre-{Guid.NewGuid():N}");
        try
        {
            MakePrivate(folder);
            try
            {
                return FileNode.Create(new FileNodeOptions { Path = Path.Combine(folder, "overlay"), Cache = CacheMode.Unsafe, Locking = false }, 0);
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BlockException(ErrorCode.Io, $"Could not make a temporary overlay in '{parent}': {e.Message}", inner: e);
        }
    }

    private static void MakePrivate(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }
}
