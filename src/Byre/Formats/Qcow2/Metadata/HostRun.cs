using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>Host clusters that follow each other.</summary>
/// <param name="Offset">The first cluster's offset in the file that stores them.</param>
/// <param name="Count">How many clusters.</param>
/// <param name="IsFresh">They lie past all that was ever written: they read as zeroes.</param>
internal readonly record struct HostRun(HostOffset Offset, int Count, bool IsFresh);
