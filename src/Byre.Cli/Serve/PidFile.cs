using System.Globalization;
using Byre.Cli.Img;

namespace Byre.Cli.Serve;

/// <summary>--pid-file.</summary>
internal static class PidFile
{
    /// <summary>Looks whether there is a place for it.</summary>
    /// <exception cref="ImgFailure">There is none.</exception>
    public static void Check(string path)
    {
        if (path.Length == 0 || (Path.GetDirectoryName(path) is { Length: > 0 } directory && !Directory.Exists(directory)))
        {
            throw new ImgFailure($"Could not create '{path}': No such file or directory");
        }
    }

    /// <summary>
    /// Writes this process's number and a line feed. Who reads the file sees all of it or what was there before: it is written
    /// beside its place and then put there. A pipe or device in its place is written to.
    /// </summary>
    /// <exception cref="ImgFailure">It cannot be written.</exception>
    public static void Write(string path)
    {
        var text = Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n";
        var beside = $"{path}.{Environment.ProcessId}";
        try
        {
            if (IsSpecial(path))
            {
                File.WriteAllText(path, text);
                return;
            }

            File.WriteAllText(beside, text);
            File.Move(beside, path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            TryRemove(beside);
            throw new ImgFailure($"Could not create '{path}': {Reason(e, path)}", 1, e);
        }
    }

    /// <summary>A link, a pipe or a device.</summary>
    private static bool IsSpecial(string path) => new FileInfo(path) is { Exists: true } file
        && (file.LinkTarget is not null || (file.Attributes & (FileAttributes.Device | FileAttributes.ReparsePoint)) != 0);

    private static string Reason(Exception e, string path) => e switch
    {
        DirectoryNotFoundException or FileNotFoundException => "No such file or directory",
        UnauthorizedAccessException => "Permission denied",
        _ when Directory.Exists(path) => "Is a directory",
        _ => e.Message,
    };

    private static void TryRemove(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It was never made.
        }
    }
}
