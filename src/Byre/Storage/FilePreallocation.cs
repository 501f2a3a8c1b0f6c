using Byre.Nodes;

namespace Byre.Storage;

/// <summary>Preallocation of plain files.</summary>
internal static class FilePreallocation
{
    private const int ZeroesBytes = 1 << 20;

    /// <summary>Gives a range of a file that reads as zeroes its space.</summary>
    /// <param name="file">The file, as long as the range's end.</param>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes; nothing is done for 0.</param>
    /// <param name="preallocation">Off: nothing. Falloc: space allocated. Full: every byte written.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.NotSupported"/>: metadata, which a plain file has not, or a file system that does not allocate;
    /// or the space ran out.
    /// </exception>
    internal static void Run(HostFile file, long offset, long length, Preallocation preallocation)
    {
        if (length == 0)
        {
            return;
        }

        switch (preallocation)
        {
            case Preallocation.Metadata:
                throw new BlockException(ErrorCode.NotSupported, $"'{file.Path}' is a plain file without metadata to preallocate", file.Path);
            case Preallocation.Falloc when !file.TryAllocate(offset, length):
                throw new BlockException(ErrorCode.NotSupported, $"Could not preallocate space for '{file.Path}'", file.Path);
            case Preallocation.Full:
                using (var zeroes = BufferPool.Rent((int)Math.Min(length, ZeroesBytes)))
                {
                    zeroes.Memory.Span.Clear();
                    for (long at = 0; at < length; at += zeroes.Memory.Length)
                    {
                        file.Write(offset + at, zeroes.Memory.Span[..(int)Math.Min(zeroes.Memory.Length, length - at)]);
                    }
                }

                break;
        }
    }
}
