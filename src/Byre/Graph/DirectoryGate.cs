namespace Byre.Graph;

/// <summary>
/// Opens only regular files inside one directory. Symbolic links are resolved first, so that none leads out; device files,
/// sockets and pipes, URIs and "json:" names are refused.
/// </summary>
/// <remarks>
/// The decision carries the resolved path: open that one. Whoever can change the directory while it is opened can still
/// win a race, so the directory must not be writable for those who made the image.
/// </remarks>
/// <param name="directory">The directory; resolved once, here.</param>
/// <param name="allowNonPaths">Also opens URIs and "json:" names, whatever they lead to.</param>
public sealed class DirectoryGate(string directory, bool allowNonPaths = false) : OpenGate
{
    private readonly string root = PathResolver.Resolve(Path.GetFullPath(directory));

    /// <inheritdoc/>
    public override OpenDecision Decide(OpenRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.Path is null)
        {
            return allowNonPaths ? OpenDecision.Allow() : OpenDecision.Deny("only files are opened, by their path");
        }

        if (request.Path.Contains('\0', StringComparison.Ordinal))
        {
            return OpenDecision.Deny("its name is not valid");
        }

        string path;
        try
        {
            path = PathResolver.Resolve(Path.GetFullPath(request.Path));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return OpenDecision.Deny("its path cannot be resolved");
        }

        var inside = root.EndsWith(Path.DirectorySeparatorChar) ? root : root + Path.DirectorySeparatorChar;
        if (!path.StartsWith(inside, StringComparison.Ordinal))
        {
            return OpenDecision.Deny($"it lies outside of '{root}'");
        }

        if (Directory.Exists(path) || (File.Exists(path) && !PathResolver.IsRegularFile(path)))
        {
            return OpenDecision.Deny("it is no regular file");
        }

        return OpenDecision.AllowAs(path);
    }
}
