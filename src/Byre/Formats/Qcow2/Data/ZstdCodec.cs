using System.Runtime.InteropServices;

namespace Byre.Formats.Qcow2.Data;

/// <summary>Zstandard, by the system's libzstd.</summary>
internal sealed unsafe partial class ZstdCodec : IClusterCodec
{
    private const string Library = "libzstd.so.1";

    private void* compressor;
    private void* decompressor;

    internal ZstdCodec()
    {
        decompressor = CreateDecompressor();
        if (decompressor is null)
        {
            throw new InsufficientMemoryException("libzstd cannot be started.");
        }
    }

    ~ZstdCodec() => Release();

    public int Compress(ReadOnlySpan<byte> cluster, Span<byte> target)
    {
        if (compressor is null && (compressor = CreateCompressor()) is null)
        {
            throw new InsufficientMemoryException("libzstd cannot be started.");
        }

        fixed (byte* source = cluster)
        fixed (byte* packed = target)
        {
            var room = (nuint)Math.Min(target.Length, cluster.Length - 1);
            var length = Compress2(compressor, packed, room, source, (nuint)cluster.Length);
            return IsError(length) != 0 ? 0 : (int)length;
        }
    }

    public bool TryDecompress(ReadOnlySpan<byte> source, Span<byte> cluster) =>
        TryDecompressFrame(source, cluster) || TryDecompressStream(source, cluster);

    /// <summary>Decompresses what is one frame, as it nearly always is: straight into the cluster, without a window's buffer.</summary>
    private bool TryDecompressFrame(ReadOnlySpan<byte> source, Span<byte> cluster)
    {
        fixed (byte* packed = source)
        fixed (byte* plain = cluster)
        {
            var length = FindFrameLength(packed, (nuint)source.Length); // what follows it in its sector is not ours
            return IsError(length) == 0
                && Decompress(decompressor, plain, (nuint)cluster.Length, packed, length) == (nuint)cluster.Length;
        }
    }

    private bool TryDecompressStream(ReadOnlySpan<byte> source, Span<byte> cluster)
    {
        if (IsError(ResetDecompressor(decompressor, 1)) != 0)
        {
            return false;
        }

        fixed (byte* packed = source)
        fixed (byte* plain = cluster)
        {
            var input = new Piece { Start = packed, Length = (nuint)source.Length };
            var output = new Piece { Start = plain, Length = (nuint)cluster.Length };
            while (output.Position < output.Length)
            {
                var before = (input.Position, output.Position);
                if (IsError(DecompressStream(decompressor, &output, &input)) != 0 || (input.Position, output.Position) == before)
                {
                    return false;
                }
            }

            return true;
        }
    }

    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    private void Release()
    {
        if (compressor is not null)
        {
            _ = FreeCompressor(compressor);
            compressor = null;
        }

        if (decompressor is not null)
        {
            _ = FreeDecompressor(decompressor);
            decompressor = null;
        }
    }

    [LibraryImport(Library, EntryPoint = "ZSTD_createCCtx")]
    private static partial void* CreateCompressor();

    [LibraryImport(Library, EntryPoint = "ZSTD_freeCCtx")]
    private static partial nuint FreeCompressor(void* context);

    [LibraryImport(Library, EntryPoint = "ZSTD_compress2")]
    private static partial nuint Compress2(void* context, byte* target, nuint room, byte* source, nuint length);

    [LibraryImport(Library, EntryPoint = "ZSTD_createDCtx")]
    private static partial void* CreateDecompressor();

    [LibraryImport(Library, EntryPoint = "ZSTD_freeDCtx")]
    private static partial nuint FreeDecompressor(void* context);

    [LibraryImport(Library, EntryPoint = "ZSTD_findFrameCompressedSize")]
    private static partial nuint FindFrameLength(byte* source, nuint length);

    [LibraryImport(Library, EntryPoint = "ZSTD_decompressDCtx")]
    private static partial nuint Decompress(void* context, byte* target, nuint room, byte* source, nuint length);

    [LibraryImport(Library, EntryPoint = "ZSTD_DCtx_reset")]
    private static partial nuint ResetDecompressor(void* context, int what);

    [LibraryImport(Library, EntryPoint = "ZSTD_decompressStream")]
    private static partial nuint DecompressStream(void* context, Piece* output, Piece* input);

    [LibraryImport(Library, EntryPoint = "ZSTD_isError")]
    private static partial uint IsError(nuint result);

    [StructLayout(LayoutKind.Sequential)]
    private struct Piece
    {
        public byte* Start;
        public nuint Length;
        public nuint Position;
    }
}
