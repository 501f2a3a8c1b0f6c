using Byre.TestTools;

namespace Byre.Interop.Cases;

/// <summary>A folder in which Byre stands under the names of the tools it takes the place of, made by `byre install-links`.</summary>
internal static class ByreLinks
{
    private static readonly Lazy<Task<string>> Made = new(MakeAsync);

    public static Task<string> DirectoryAsync() => Made.Value;

    private static async Task<string> MakeAsync()
    {
        var folder = Directory.CreateTempSubdirectory("byre-links-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        await ExternalTool.RunAsync(Path.Combine(AppContext.BaseDirectory, "Byre.Cli"), folder, "install-links", folder);
        return folder;
    }
}
