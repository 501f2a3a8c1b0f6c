using System.Diagnostics;

namespace Byre.Interop.Nbd.Machine;

/// <summary>A test that boots a virtual machine: it is skipped, and says so, where no kernel for one can be downloaded.</summary>
public sealed class MachineFactAttribute : FactAttribute
{
    private static readonly Lazy<string?> Downloaded = new(Download);

    /// <summary>Marks it.</summary>
    public MachineFactAttribute()
    {
        if (Kernel is null)
        {
            Skip = "Debian's kernel package cannot be downloaded here, and no machine boots without a kernel";
        }
    }

    /// <summary>The path of the package with the kernel, or null.</summary>
    public static string? Kernel => Downloaded.Value;

    private static string? Download()
    {
        var folder = Directory.CreateTempSubdirectory("byre-kernel-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        var script = Path.Combine(AppContext.BaseDirectory, "Nbd", "Machine", "get-kernel.sh");
        using var process = Process.Start(new ProcessStartInfo("bash", [script, folder]) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        var output = process.StandardOutput.ReadToEndAsync();
        _ = process.StandardError.ReadToEnd();
        _ = output.Result;
        process.WaitForExit();
        return process.ExitCode == 0 ? Directory.GetFiles(folder, "*.deb").FirstOrDefault() : null;
    }
}
