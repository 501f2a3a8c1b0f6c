namespace Byre.Interop.Cases;

/// <summary>A theory that compares with QEMU 10, whose folder the environment variable BYRE_QEMU10 names; skipped without.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class Qemu10TheoryAttribute : TheoryAttribute
{
    public Qemu10TheoryAttribute() => Skip = Directory is null ? "BYRE_QEMU10 names no folder with QEMU 10: older tools print this otherwise" : null;

    /// <summary>The folder, or null.</summary>
    public static string? Directory => Environment.GetEnvironmentVariable("BYRE_QEMU10") is { Length: > 0 } named ? named : null;
}
