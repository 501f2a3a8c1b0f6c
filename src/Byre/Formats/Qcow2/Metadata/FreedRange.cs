using Byre.Formats.Qcow2.Layout;

namespace Byre.Formats.Qcow2.Metadata;

/// <summary>Host clusters each of which loses one reference.</summary>
/// <param name="Offset">The first cluster's offset in the file.</param>
/// <param name="Count">How many clusters.</param>
/// <param name="Punch">The file gives their space back where it was the last reference.</param>
internal readonly record struct FreedRange(HostOffset Offset, long Count, bool Punch);
