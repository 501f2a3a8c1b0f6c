using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Byre.Blockdev.Create;

/// <summary>Asks a file system that can (XFS) to allocate a file's space in great pieces.</summary>
internal static partial class ExtentSizeHint
{
    // struct fsxattr of linux/fs.h: 28 bytes, fsx_xflags at 0, fsx_extsize at 4.
    private const int StructSize = 28;
    private const nuint GetAttributes = 0x801c581f;
    private const nuint SetAttributes = 0x401c5820;
    private const uint HasExtentSize = 0x800;

    /// <summary>Asks; a file system that does not know of it, or refuses the number, is no failure.</summary>
    /// <param name="path">A file without space of its own.</param>
    /// <param name="bytes">How much to allocate at a time.</param>
    /// <returns>It has been taken over.</returns>
    public static bool TrySet(string path, uint bytes)
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        using var handle = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        Span<byte> attributes = stackalloc byte[StructSize];
        attributes.Clear();
        if (Ioctl(handle, GetAttributes, ref attributes[0]) != 0)
        {
            return false;
        }

        var flags = MemoryMarshal.Read<uint>(attributes) | HasExtentSize;
        MemoryMarshal.Write(attributes, in flags);
        MemoryMarshal.Write(attributes[4..], in bytes);
        return Ioctl(handle, SetAttributes, ref attributes[0]) == 0;
    }

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Ioctl(SafeFileHandle file, nuint request, ref byte argument);
}
