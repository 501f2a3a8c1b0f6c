using System.Runtime.InteropServices;
using Byre.Nodes;

namespace Byre.Storage.Linux;

/// <summary>
/// The space that ranges of an open file occupy: zeroed, given back, allocated (fallocate(2); BLKZEROOUT and BLKDISCARD on
/// a device). What the file system refused once is not asked for again.
/// </summary>
internal sealed unsafe class FileSpace(int fd, string path, bool isDevice)
{
    private bool zeroUnsupported;
    private bool punchUnsupported;

    /// <summary>Makes a range read as zero without writing it; with <paramref name="unmap"/> its space is given back where that can be done.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <param name="unmap">Rather a hole than allocated space.</param>
    /// <returns>False where neither works here.</returns>
    /// <exception cref="BlockException">The storage failed or is full.</exception>
    internal bool TryZero(long offset, long length, bool unmap)
    {
        if (isDevice)
        {
            if (!zeroUnsupported)
            {
                var range = stackalloc ulong[2] { (ulong)offset, (ulong)length };
                if (LibC.Control(fd, LibC.BlockZeroOut, range) == 0)
                {
                    return true;
                }

                zeroUnsupported = true;
            }

            return false;
        }

        if (unmap && TryDiscard(offset, length))
        {
            return true;
        }

        if (!zeroUnsupported)
        {
            if (Allocate(LibC.ZeroRange | LibC.KeepSize, offset, length))
            {
                return true;
            }

            zeroUnsupported = true;
        }

        // A file system without ZERO_RANGE can punch a hole and fill it with allocated, unwritten space.
        return TryDiscard(offset, length) && TryAllocate(offset, length);
    }

    /// <summary>Gives the space of a range back.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <returns>False where that does not work here.</returns>
    /// <exception cref="BlockException">The storage failed.</exception>
    internal bool TryDiscard(long offset, long length)
    {
        if (punchUnsupported)
        {
            return false;
        }

        if (isDevice)
        {
            var range = stackalloc ulong[2] { (ulong)offset, (ulong)length };
            if (LibC.Control(fd, LibC.BlockDiscard, range) == 0)
            {
                return true;
            }
        }
        else if (Allocate(LibC.PunchHole | LibC.KeepSize, offset, length))
        {
            return true;
        }

        punchUnsupported = true;
        return false;
    }

    /// <summary>Allocates space for a range, beyond the end of the file too, and does not change what it reads as.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes, at least 1.</param>
    /// <returns>False where that does not work here.</returns>
    /// <exception cref="BlockException">The storage failed or is full.</exception>
    internal bool TryAllocate(long offset, long length) => !isDevice && Allocate(0, offset, length);

    private bool Allocate(int mode, long offset, long length)
    {
        while (true)
        {
            if (LibC.Allocate(fd, mode, offset, length) == 0)
            {
                return true;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case LibC.Interrupted:
                    continue;
                case var errno when LibC.IsStorageFailure(errno):
                    throw BlockException.FromErrno(errno, $"Could not allocate space in '{path}'", path, offset);
                default:
                    return false;
            }
        }
    }
}
