using System.Runtime.InteropServices;

namespace Byre.Storage.Linux;

/// <summary>What statx says of an open file.</summary>
internal readonly record struct FileStatus(
    FileKind Kind, long Size, long AllocatedBytes, ulong Inode, ulong Device, int DirectAlignment, int DirectMemoryAlignment)
{
    private const int EmptyPath = 0x1000;
    private const uint BasicStats = 0x7ff;
    private const uint DirectIoAlignment = 0x2000;

    /// <summary>Asks the system.</summary>
    /// <param name="fd">An open descriptor.</param>
    /// <param name="name">The file's name, for the error.</param>
    internal static FileStatus Of(int fd, string name) => Ask(fd, "", EmptyPath) is { } status
        ? status
        : throw Nodes.BlockException.FromErrno(Marshal.GetLastPInvokeError(), $"Could not stat '{name}'", name);

    /// <summary>Asks the system about what a path leads to; null where it leads nowhere, or may not be followed (errno is set).</summary>
    internal static FileStatus? OfPath(string path) => path.Length == 0 ? null : Ask(LibC.CurrentDirectory, path, 0);

    private static unsafe FileStatus? Ask(int fd, string path, int flags)
    {
        Span<byte> buffer = stackalloc byte[256];
        fixed (byte* p = buffer)
        {
            if (LibC.StatX(fd, path, flags, BasicStats | DirectIoAlignment, p) < 0)
            {
                return null;
            }
        }

        // struct statx: mask 0, mode 28, ino 32, size 40, blocks 48, dev 136 and 140, dio_mem_align 152, dio_offset_align 156.
        var kind = (MemoryMarshal.Read<ushort>(buffer[28..]) & 0xf000) switch
        {
            0x8000 => FileKind.Regular,
            0x6000 => FileKind.BlockDevice,
            0x2000 => FileKind.CharacterDevice,
            0x4000 => FileKind.Directory,
            _ => FileKind.Other,
        };
        var direct = (MemoryMarshal.Read<uint>(buffer) & DirectIoAlignment) != 0;
        return new FileStatus(
            kind,
            MemoryMarshal.Read<long>(buffer[40..]),
            MemoryMarshal.Read<long>(buffer[48..]) * 512,
            MemoryMarshal.Read<ulong>(buffer[32..]),
            ((ulong)MemoryMarshal.Read<uint>(buffer[136..]) << 32) | MemoryMarshal.Read<uint>(buffer[140..]),
            direct ? MemoryMarshal.Read<int>(buffer[156..]) : 0,
            direct ? MemoryMarshal.Read<int>(buffer[152..]) : 0);
    }
}
