using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Data;

/// <summary>A range of the guest's disk of which the tables say one thing.</summary>
/// <param name="Kind">What they say.</param>
/// <param name="Length">Bytes, at least 1.</param>
/// <param name="Host">Where it begins in the file that stores data, or -1.</param>
/// <param name="IsCopied">The clusters have one reference: they may be written in place.</param>
/// <param name="Raw">The first cluster's entry.</param>
internal readonly record struct GuestRun(SubclusterKind Kind, long Length, HostOffset Host, bool IsCopied, ulong Raw);
