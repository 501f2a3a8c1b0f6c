using Byre.TestTools;

namespace Byre.Interop.Check;

/// <summary>The real tools: those of the system, and a newer qemu-img where there is one.</summary>
internal static class QemuImg
{
    /// <summary>The qemu-img programs to compare with; the first is the system's, which must be there.</summary>
    public static IReadOnlyList<string> Programs { get; } = Find();

    /// <summary>Runs a program.</summary>
    public static (int Status, string Output, string Errors) Run(string program, params string[] arguments) =>
        ExternalTool.Run(program, "", arguments);

    /// <summary>Runs a program that must succeed.</summary>
    public static void Must(string program, params string[] arguments)
    {
        var (status, output, errors) = Run(program, arguments);
        Assert.True(status == 0, $"{program} {string.Join(' ', arguments)}: {status} {output}{errors}");
    }

    private static List<string> Find()
    {
        List<string> found = ["qemu-img"];
        if (Environment.GetEnvironmentVariable("BYRE_QEMU10") is { Length: > 0 } newer)
        {
            found.Add(Path.Combine(newer, "qemu-img"));
        }

        return found;
    }
}
