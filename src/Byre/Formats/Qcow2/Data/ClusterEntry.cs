namespace Byre.Formats.Qcow2.Data;

/// <summary>One cluster's entry as the table has it.</summary>
/// <param name="Raw">The entry.</param>
/// <param name="Bitmap">With extended L2 entries the subclusters' bits, else 0.</param>
internal readonly record struct ClusterEntry(ulong Raw, ulong Bitmap);
