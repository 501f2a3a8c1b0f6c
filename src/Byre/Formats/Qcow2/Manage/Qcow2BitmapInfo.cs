namespace Byre.Formats.Qcow2.Manage;

/// <summary>What is known of a persistent bitmap.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Granularity">Bytes that one bit stands for; a power of two.</param>
/// <param name="IsInUse">It was not closed properly: it must not be trusted.</param>
/// <param name="IsAuto">It records writes as soon as the image is opened.</param>
public sealed record Qcow2BitmapInfo(string Name, long Granularity, bool IsInUse, bool IsAuto);
