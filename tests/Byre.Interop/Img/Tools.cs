using Byre.Cli.Img;
using Byre.Cli.Io;
using Byre.TestTools;

namespace Byre.Interop.Img;

/// <summary>What a run of a tool gave.</summary>
internal sealed record ToolResult(int Status, string Output, string Errors);

/// <summary>The real tool as a process, and ours in this process.</summary>
internal static class Tools
{
    /// <summary>Runs the real qemu-img in a directory.</summary>
    public static ToolResult Qemu(string directory, params string[] words) => Run("qemu-img", directory, words);

    /// <summary>Runs the real qemu-io's commands on an image.</summary>
    public static void QemuIo(string directory, string image, params string[] commands)
    {
        var result = Run("qemu-io", directory, [.. commands.SelectMany(c => new[] { "-c", c }), image]);
        Assert.True(result.Status == 0, result.Errors + result.Output);
    }

    /// <summary>Runs a verb of ours in this process.</summary>
    public static async Task<ToolResult> ByreAsync(params string[] words)
    {
        // A tool that another test starts at this moment inherits our open files until it is executed, and their locks.
        for (var tries = 1; ; tries++)
        {
            var result = await RunOnceAsync(words);
            if (tries == 4 || !result.Errors.Contains("another process is using the image", StringComparison.Ordinal))
            {
                return result;
            }

            await Task.Delay(50 * tries);
        }
    }

    private static async Task<ToolResult> RunOnceAsync(string[] words)
    {
        using var bytes = new MemoryStream();
        using var errors = new StringWriter();
        int status;
        using (var output = new IoStdout(bytes, isTerminal: false))
        {
            var context = new ImgContext(output, () => errors, "qemu-img");
            status = await ImgApplet.RunAsync(context, ImgApplet.Find(words[0])!, words[1..]);
        }

        return new ToolResult(status, System.Text.Encoding.UTF8.GetString(bytes.ToArray()), errors.ToString());
    }

    private static ToolResult Run(string program, string directory, IReadOnlyList<string> words)
    {
        var (status, output, errors) = ExternalTool.Run(program, directory, words);
        return new ToolResult(status, output, errors);
    }
}
