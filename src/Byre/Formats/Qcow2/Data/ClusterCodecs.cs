using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>The codecs of compressed clusters.</summary>
internal static class ClusterCodecs
{
    /// <summary>Makes a codec, for one thread at a time.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: the system lacks the library.</exception>
    internal static IClusterCodec Create(Qcow2CompressionType type)
    {
        try
        {
            return type == Qcow2CompressionType.Zstd ? new ZstdCodec() : new DeflateCodec();
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            var library = type == Qcow2CompressionType.Zstd ? "libzstd" : "zlib";
            throw new BlockException(
                ErrorCode.NotSupported, $"Compressed clusters of this image need {library}, which this system lacks.", inner: e);
        }
    }
}
