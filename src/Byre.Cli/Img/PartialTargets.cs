namespace Byre.Cli.Img;

/// <summary>
/// The files a verb is writing that are not complete yet. They are removed when it fails or is interrupted, so that nothing
/// is left that looks complete. Only regular files are ever removed, and only where there is something in them.
/// </summary>
internal sealed class PartialTargets
{
    private readonly Lock gate = new();
    private readonly HashSet<string> paths = new(StringComparer.Ordinal);

    /// <summary>A file is about to be made.</summary>
    public void Add(string path)
    {
        lock (gate)
        {
            paths.Add(Path.GetFullPath(path));
        }
    }

    /// <summary>A file is complete: it stays.</summary>
    public void Complete(string path)
    {
        lock (gate)
        {
            paths.Remove(Path.GetFullPath(path));
        }
    }

    /// <summary>Removes what is not complete. What cannot be removed stays.</summary>
    public void RemoveAll()
    {
        lock (gate)
        {
            foreach (var path in paths)
            {
                try
                {
                    // Devices, pipes and sockets have no length; what is empty does not look complete.
                    var file = new FileInfo(path);
                    file = file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file;
                    if (file.Exists && file.Length > 0)
                    {
                        file.Delete();
                    }
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    // The verb's own failure is what the user hears of.
                }
            }

            paths.Clear();
        }
    }
}
