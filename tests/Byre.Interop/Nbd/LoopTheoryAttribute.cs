using Byre.TestTools;

namespace Byre.Interop.Nbd;

/// <summary>A theory that needs loop devices; skipped, with the reason, where the system gives none.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LoopTheoryAttribute : TheoryAttribute
{
    private static readonly Lazy<string?> Missing = new(Look);

    public LoopTheoryAttribute() => Skip = Missing.Value;

    private static string? Look()
    {
        if (Environment.UserName != "root")
        {
            return "Loop devices need root";
        }

        var folder = Directory.CreateTempSubdirectory("byre-loop-").FullName;
        try
        {
            var (status, _, error) = ExternalTool.Run("bash", folder, ["-c", "truncate -s 1M x && dev=$(losetup -f --show x) && losetup -d $dev"]);
            return status == 0 ? null : $"losetup does not work here: {error.Trim()}";
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
