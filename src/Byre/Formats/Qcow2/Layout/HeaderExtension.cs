namespace Byre.Formats.Qcow2.Layout;

/// <summary>A header extension (qcow2 specification, "Header extensions").</summary>
/// <param name="Type">Its type; see <see cref="HeaderExtensionTypes"/>.</param>
/// <param name="Data">Its bytes without padding.</param>
public sealed record HeaderExtension(uint Type, ReadOnlyMemory<byte> Data);
