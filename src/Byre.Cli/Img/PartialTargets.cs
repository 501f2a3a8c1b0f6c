namespace Byre.Cli.Img;

/// <summary>
/// The files a verb is writing that are not complete yet. Where it fails or is interrupted, nothing is left that looks
/// complete: a file that the verb made is removed; one that was there before, and whose content was replaced, stays as an
/// empty file. Devices are left alone.
/// </summary>
internal sealed class PartialTargets
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, bool> files = new(StringComparer.Ordinal); // path -> it was there before

    /// <summary>A file that is not there is about to be made.</summary>
    public void AddNew(string path) => Add(path, existed: false);

    /// <summary>The content of a file that was there has been replaced.</summary>
    public void AddOverwritten(string path) => Add(path, existed: true);

    /// <summary>A file is complete, or never became ours: it stays.</summary>
    public void Forget(string path)
    {
        lock (gate)
        {
            files.Remove(Path.GetFullPath(path));
        }
    }

    /// <summary>Everything is complete.</summary>
    public void ForgetAll()
    {
        lock (gate)
        {
            files.Clear();
        }
    }

    /// <summary>Removes or empties what is not complete. What resists stays.</summary>
    public void RemoveAll()
    {
        lock (gate)
        {
            foreach (var (path, existed) in files)
            {
                try
                {
                    var file = new FileInfo(path);
                    file = file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file;
                    if (!file.Exists)
                    {
                        continue;
                    }

                    if (!existed)
                    {
                        file.Delete();
                    }
                    else if (file.Length > 0) // devices, pipes and sockets have no length
                    {
                        using var content = new FileStream(file.FullName, FileMode.Open, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);
                        content.SetLength(0);
                    }
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    // The verb's own failure is what the user hears of.
                }
            }

            files.Clear();
        }
    }

    private void Add(string path, bool existed)
    {
        lock (gate)
        {
            files[Path.GetFullPath(path)] = existed;
        }
    }
}
