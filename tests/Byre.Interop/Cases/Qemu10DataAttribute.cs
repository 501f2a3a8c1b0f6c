using System.Reflection;
using Xunit.Sdk;

namespace Byre.Interop.Cases;

/// <summary>A row of a theory that needs QEMU 10; reported as skipped where the environment variable BYRE_QEMU10 names no folder with it.</summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class Qemu10DataAttribute : DataAttribute
{
    private readonly object[] row;

    public Qemu10DataAttribute(params object[] row)
    {
        this.row = row;
        Skip = Qemu10TheoryAttribute.Directory is null ? "BYRE_QEMU10 names no folder with QEMU 10" : null;
    }

    public override IEnumerable<object[]> GetData(MethodInfo testMethod) => [row];
}
