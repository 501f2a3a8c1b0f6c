using Byre.Formats.Qcow2.Metadata;

namespace Byre.Formats.Qcow2.Data;

/// <summary>Where the entries of a range were found: who asks for one after the other finds the next there.</summary>
/// <param name="Slice">The slice with the entries; once it has left the cache it means nothing any more.</param>
/// <param name="Start">The first offset of the guest's disk that it is known for.</param>
/// <param name="End">The end of the range whose entries it holds.</param>
internal readonly record struct TableHint(CacheSlice? Slice, long Start, long End);
