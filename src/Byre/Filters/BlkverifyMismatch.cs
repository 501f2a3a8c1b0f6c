namespace Byre.Filters;

/// <summary>Two images that should have been equal were not.</summary>
/// <param name="Operation">"read", "write" or "flush".</param>
/// <param name="Offset">The request's first byte.</param>
/// <param name="Length">The request's length in bytes.</param>
/// <param name="MismatchOffset">The first byte that differs, or -1 where the outcomes differ, not the contents.</param>
/// <param name="TestErrno">The errno with which the image under test failed, or 0.</param>
/// <param name="RawErrno">The errno with which the raw copy failed, or 0.</param>
public sealed record BlkverifyMismatch(
    string Operation, long Offset, long Length, long MismatchOffset, int TestErrno, int RawErrno)
{
    /// <summary>One line for a person.</summary>
    public override string ToString() => MismatchOffset >= 0
        ? $"blkverify: {Operation} offset={Offset} bytes={Length} contents mismatch at offset {MismatchOffset}"
        : $"blkverify: {Operation} offset={Offset} bytes={Length} outcome mismatch: test {Outcome(TestErrno)}, raw {Outcome(RawErrno)}";

    private static string Outcome(int errno) => errno == 0 ? "succeeded" : $"failed with errno {errno}";
}
