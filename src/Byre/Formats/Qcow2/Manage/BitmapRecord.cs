namespace Byre.Formats.Qcow2.Manage;

/// <summary>An entry of the bitmap directory as a check has found it.</summary>
/// <param name="Start">Its first byte in the directory.</param>
/// <param name="Length">Its bytes, padding included.</param>
/// <param name="TableOffset">Where its table is in the file.</param>
/// <param name="TableEnd">The byte behind its table.</param>
internal readonly record struct BitmapRecord(int Start, int Length, long TableOffset, long TableEnd);
