namespace Byre.Storage;

/// <summary>A run of data, or a hole, of a file: from the byte <paramref name="Start"/> to before <paramref name="End"/>.</summary>
/// <param name="Start">First byte.</param>
/// <param name="End">First byte after it.</param>
/// <param name="IsData">Data, and not a hole.</param>
internal readonly record struct FileRun(long Start, long End, bool IsData);
