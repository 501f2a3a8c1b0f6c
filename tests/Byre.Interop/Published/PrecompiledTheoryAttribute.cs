using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Byre.Interop.Published;

/// <summary>A theory about code that is compiled ahead; skipped, with the reason, where the processor cannot run that code.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PrecompiledTheoryAttribute : TheoryAttribute
{
    public PrecompiledTheoryAttribute() => Skip = RuntimeInformation.ProcessArchitecture == Architecture.X64 && !Avx2.IsSupported
        ? "What is compiled ahead needs a processor with AVX2 (docs/decisions/0001)" : null;
}
