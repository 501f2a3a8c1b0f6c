namespace Byre.Interop.Nbd;

/// <summary>A theory that mounts a file system in user space; skipped, with the reason, where this is not permitted.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class FuseTheoryAttribute : TheoryAttribute
{
    public FuseTheoryAttribute() => Skip = Environment.UserName != "root" ? "Mounting and unmounting with nbdfuse needs root"
        : File.Exists("/dev/fuse") ? null : "There is no /dev/fuse here: nbdfuse cannot mount";
}
