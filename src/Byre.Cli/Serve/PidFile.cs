using System.Globalization;
using Byre.Cli.Img;
using Byre.Storage;

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

        var reason = HostStream.KindOf(path) switch
        {
            HostPathKind.Device => "it is a block device",
            HostPathKind.Directory => "Is a directory",
            _ => null,
        };
        if (reason is not null)
        {
            throw new ImgFailure($"Could not create '{path}': {reason}");
        }
    }

    /// <summary>
    /// Writes this process's number and a line feed. Who reads the file sees all of it or what was there before: it is written
    /// beside its place and then put there. What a link leads to, a pipe or a device of characters is written to and stays what it is.
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

    private static bool IsSpecial(string path) =>
        new FileInfo(path).LinkTarget is not null || HostStream.KindOf(path) is not (HostPathKind.Missing or HostPathKind.File);

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
