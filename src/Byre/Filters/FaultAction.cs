namespace Byre.Filters;

/// <summary>What a <see cref="FaultRule"/> does to a request.</summary>
public enum FaultAction
{
    /// <summary>The request fails, and nothing of it reaches the child.</summary>
    Fail,

    /// <summary>The request reaches the child later.</summary>
    Delay,

    /// <summary>
    /// The first bytes of a write, write-zeroes or discard reach the child, then it fails. Other requests fail as a whole.
    /// </summary>
    CutShort,
}
