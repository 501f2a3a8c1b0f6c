namespace Byre.Cli.Io.Commands;

/// <summary>Data from a file, repeated to fill a buffer.</summary>
internal static class PatternFile
{
    /// <summary>Fills a new buffer of <paramref name="length"/> bytes.</summary>
    /// <returns>Null where the file cannot be read or is empty; the reason has been printed.</returns>
    public static byte[]? TryFill(IoSession session, string file, long length)
    {
        var buffer = GC.AllocateUninitializedArray<byte>((int)length);
        try
        {
            using var stream = File.OpenRead(file);
            var read = stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            if (read == 0 && length > 0)
            {
                session.Errors.WriteLine($"{file}: file is empty");
                return null;
            }

            for (var at = read; at < buffer.Length; at++)
            {
                buffer[at] = buffer[at - read];
            }

            return buffer;
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            session.Errors.WriteLine($"{file}: No such file or directory");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            session.Errors.WriteLine($"{file}: {e.Message}");
        }

        return null;
    }
}
