namespace Byre.Formats.Qcow2.Layout;

/// <summary>How compressed clusters are stored (qcow2 specification, "compression_type").</summary>
public enum Qcow2CompressionType : byte
{
    /// <summary>Raw deflate.</summary>
    Zlib = 0,

    /// <summary>Zstandard frames.</summary>
    Zstd = 1,
}
