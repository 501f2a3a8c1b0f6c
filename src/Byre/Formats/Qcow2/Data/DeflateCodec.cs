using System.Runtime.InteropServices;

namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Raw deflate with a window of 4 KiB, which is what readers of the format expect; reads any window. Uses the zlib that is
/// part of .NET, as <see cref="System.IO.Compression.DeflateStream"/> cannot set the window.
/// </summary>
internal sealed unsafe partial class DeflateCodec : IClusterCodec
{
    private const string Library = "libSystem.IO.Compression.Native";
    private const int DefaultLevel = -1;
    private const int Deflated = 8;
    private const int WriteWindow = -12;
    private const int ReadWindow = -15;
    private const int MemoryLevel = 9;
    private const int DefaultStrategy = 0;
    private const int Finish = 4;
    private const int Ok = 0;
    private const int StreamEnd = 1;

    private ZStream* inflater;

    ~DeflateCodec() => Release();

    public int Compress(ReadOnlySpan<byte> cluster, Span<byte> target)
    {
        ZStream stream = default;
        Check(DeflateInit2(&stream, DefaultLevel, Deflated, WriteWindow, MemoryLevel, DefaultStrategy));
        try
        {
            fixed (byte* source = cluster)
            fixed (byte* packed = target)
            {
                stream.NextIn = source;
                stream.AvailableIn = (uint)cluster.Length;
                stream.NextOut = packed;
                stream.AvailableOut = (uint)Math.Min(target.Length, cluster.Length - 1);
                var room = stream.AvailableOut;
                return Deflate(&stream, Finish) == StreamEnd ? (int)(room - stream.AvailableOut) : 0;
            }
        }
        finally
        {
            _ = DeflateEnd(&stream);
        }
    }

    public bool TryDecompress(ReadOnlySpan<byte> source, Span<byte> cluster)
    {
        if (inflater is null)
        {
            var made = (ZStream*)NativeMemory.AllocZeroed((nuint)sizeof(ZStream));
            var result = InflateInit2(made, ReadWindow);
            if (result != Ok)
            {
                NativeMemory.Free(made);
                Check(result);
            }

            inflater = made;
        }
        else
        {
            Check(InflateReset2(inflater, ReadWindow));
        }

        fixed (byte* packed = source)
        fixed (byte* plain = cluster)
        {
            inflater->NextIn = packed;
            inflater->AvailableIn = (uint)source.Length;
            inflater->NextOut = plain;
            inflater->AvailableOut = (uint)cluster.Length;
            _ = Inflate(inflater, Finish);
            return inflater->AvailableOut == 0;
        }
    }

    public void Dispose()
    {
        Release();
        GC.SuppressFinalize(this);
    }

    private static void Check(int result)
    {
        if (result != Ok)
        {
            throw new InsufficientMemoryException("zlib cannot be started.");
        }
    }

    private void Release()
    {
        if (inflater is not null)
        {
            _ = InflateEnd(inflater);
            NativeMemory.Free(inflater);
            inflater = null;
        }
    }

    [LibraryImport(Library, EntryPoint = "CompressionNative_DeflateInit2_")]
    private static partial int DeflateInit2(ZStream* stream, int level, int method, int windowBits, int memoryLevel, int strategy);

    [LibraryImport(Library, EntryPoint = "CompressionNative_Deflate")]
    private static partial int Deflate(ZStream* stream, int flush);

    [LibraryImport(Library, EntryPoint = "CompressionNative_DeflateEnd")]
    private static partial int DeflateEnd(ZStream* stream);

    [LibraryImport(Library, EntryPoint = "CompressionNative_InflateInit2_")]
    private static partial int InflateInit2(ZStream* stream, int windowBits);

    [LibraryImport(Library, EntryPoint = "CompressionNative_InflateReset2_")]
    private static partial int InflateReset2(ZStream* stream, int windowBits);

    [LibraryImport(Library, EntryPoint = "CompressionNative_Inflate")]
    private static partial int Inflate(ZStream* stream, int flush);

    [LibraryImport(Library, EntryPoint = "CompressionNative_InflateEnd")]
    private static partial int InflateEnd(ZStream* stream);

    [StructLayout(LayoutKind.Sequential)]
    private struct ZStream
    {
        public byte* NextIn;
        public byte* NextOut;
        public byte* Message;
        public void* State;
        public uint AvailableIn;
        public uint AvailableOut;
    }
}
