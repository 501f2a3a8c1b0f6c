using Byre.Interop.Img;
using Byre.TestTools;

namespace Byre.Interop.Combined;

/// <summary>The tools that take turns at an image: Byre, QEMU's on the PATH, and QEMU 10's where BYRE_QEMU10 names them.</summary>
internal sealed class CombinedTools(string directory)
{
    private static readonly string? Newer =
        Environment.GetEnvironmentVariable("BYRE_QEMU10") is { Length: > 0 } path ? path : null;

    /// <summary>How many there are; 0 is Byre.</summary>
    public static int Count => Newer is null ? 2 : 3;

    public static string Name(int tool) => tool switch { 0 => "Byre", 1 => "QEMU", _ => "QEMU 10" };

    /// <summary>Runs a verb of qemu-img.</summary>
    public async Task<ToolResult> ImgAsync(int tool, params string[] words)
    {
        if (tool == 0)
        {
            return await Tools.ByreAsync(words);
        }

        var (status, output, errors) = await ExternalTool.TryRunAsync(Program(tool, "qemu-img"), directory, words);
        return new ToolResult(status, output, errors);
    }

    /// <summary>Runs qemu-io.</summary>
    public async Task<ToolResult> IoAsync(int tool, params string[] words)
    {
        var (status, output, errors) = tool == 0
            ? await ExternalTool.TryRunAsync(Path.Combine(AppContext.BaseDirectory, "Byre.Cli"), directory, ["io", .. words])
            : await ExternalTool.TryRunAsync(Program(tool, "qemu-io"), directory, words);
        return new ToolResult(status, output, errors);
    }

    private static string Program(int tool, string name) => tool == 1 ? name : Path.Combine(Newer!, name);
}
