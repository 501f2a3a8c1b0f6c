using System.ComponentModel;
using System.Diagnostics;
using Byre.Nbd.Client;
using Byre.Nodes;

namespace Byre.Cli.NbdInfo;

/// <summary>Has file(1) look at the first bytes of an export.</summary>
internal static class ContentProbe
{
    private const int Looked = 8192;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    /// <summary>The first line that file(1) says; null where it is not there, says nothing, or the bytes cannot be read.</summary>
    /// <param name="client">A connection to the export.</param>
    public static async Task<string?> LookAsync(NbdClient client)
    {
        var block = (int)(client.BlockSize?.Minimum ?? 1);
        var length = (int)Math.Min(client.Size, Math.Max(Looked, block));
        var head = new byte[length];
        try
        {
            for (int at = 0, n; at < length; at += n)
            {
                n = Math.Min(length - at, client.MaxPayload);
                await client.ReadAsync(at, head.AsMemory(at, n)).ConfigureAwait(false);
            }
        }
        catch (BlockException)
        {
            return null; // the report goes without it
        }

        var path = Path.GetTempFileName();
        try
        {
            await File.WriteAllBytesAsync(path, head.AsMemory(0, Math.Min(length, Looked))).ConfigureAwait(false);
            var start = new ProcessStartInfo("file", ["-b", path]) { RedirectStandardOutput = true, UseShellExecute = false };
            using var file = Process.Start(start);
            if (file is null)
            {
                return null;
            }

            using var limit = new CancellationTokenSource(Limit);
            try
            {
                var line = await file.StandardOutput.ReadLineAsync(limit.Token).ConfigureAwait(false);
                await file.StandardOutput.ReadToEndAsync(limit.Token).ConfigureAwait(false);
                await file.WaitForExitAsync(limit.Token).ConfigureAwait(false);
                return string.IsNullOrEmpty(line) || file.ExitCode != 0 ? null : line;
            }
            catch (OperationCanceledException)
            {
                file.Kill();
                return null;
            }
        }
        catch (Exception e) when (e is Win32Exception or IOException)
        {
            return null; // there is no such program
        }
        finally
        {
            File.Delete(path);
        }
    }
}
