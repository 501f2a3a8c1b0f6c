using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Where a finding is.</summary>
/// <param name="Offset">In the image file, in bytes; see <see cref="CheckFinding.Offset"/>.</param>
/// <param name="Table">The table whose entry it is.</param>
/// <param name="Index">The entry's number.</param>
/// <param name="Guest">The first byte of the disk that it concerns.</param>
internal readonly record struct FindingPlace(long? Offset = null, CheckTable? Table = null, long? Index = null, long? Guest = null);
