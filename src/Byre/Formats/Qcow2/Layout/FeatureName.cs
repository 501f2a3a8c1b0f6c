namespace Byre.Formats.Qcow2.Layout;

/// <summary>An entry of the feature name table (qcow2 specification, "Feature name table").</summary>
/// <param name="Kind">0 incompatible, 1 compatible, 2 autoclear.</param>
/// <param name="Bit">The feature's bit number.</param>
/// <param name="Name">What to call it; at most 46 bytes are stored.</param>
public sealed record FeatureName(byte Kind, byte Bit, string Name);
