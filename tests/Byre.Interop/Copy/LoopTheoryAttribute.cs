namespace Byre.Interop.Copy;

/// <summary>A theory that needs a block device; skipped, with the reason, where none can be made.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class LoopTheoryAttribute : TheoryAttribute
{
    public LoopTheoryAttribute() => Skip = Environment.UserName != "root" ? "Making a loop device needs root"
        : File.Exists("/dev/loop-control") ? null : "There is no /dev/loop-control here: no loop device can be made";
}
