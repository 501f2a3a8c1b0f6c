namespace Byre.Cli.Checksum;

/// <summary>What checksum tells of an image.</summary>
/// <param name="Name">Its name as it was given.</param>
/// <param name="Format">Its format.</param>
/// <param name="Length">The bytes that a guest sees.</param>
/// <param name="Digest">Their digest in hexadecimal.</param>
internal sealed record ImageChecksum(string Name, string Format, long Length, string Digest);
