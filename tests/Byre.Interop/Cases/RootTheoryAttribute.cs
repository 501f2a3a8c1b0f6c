namespace Byre.Interop.Cases;

/// <summary>A theory that mounts, or makes a loop device, and so needs root; skipped for others.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class RootTheoryAttribute : TheoryAttribute
{
    public RootTheoryAttribute() => Skip = Environment.UserName == "root" ? null : "This mounts a small file system or makes a loop device, which needs root";
}
