using System.Runtime.InteropServices;
using Byre.Nodes;

namespace Byre.Storage.Linux;

/// <summary>
/// Copies between regular files inside the kernel: shares blocks (ioctl_ficlonerange(2)) or copies (copy_file_range(2)).
/// What the file system refused once is not asked for again.
/// </summary>
internal sealed unsafe class FileCopy(int fd, string path)
{
    private bool cloneUnsupported;
    private bool copyUnsupported;

    /// <summary>Whether the file system may share blocks of the source with this file. Asks it, and writes nothing.</summary>
    /// <param name="sourceFd">The open source.</param>
    internal bool MayShareWith(int sourceFd)
    {
        // A range that no file system shares, for it is not aligned and past the end; what cannot share at all says so before.
        LibC.CloneRangeArgument argument = new() { SourceFd = sourceFd, SourceOffset = (1UL << 62) + 1, SourceLength = 1, TargetOffset = 1 };
        return LibC.Control(fd, LibC.CloneRange, &argument) == 0 || Marshal.GetLastPInvokeError() == LibC.Invalid;
    }

    /// <summary>Copies a range from the front.</summary>
    /// <param name="sourceFd">The open source.</param>
    /// <param name="sourceOffset">First byte to read.</param>
    /// <param name="offset">First byte to write.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="mode">What is allowed.</param>
    /// <returns>Bytes copied: fewer where the source ends, 0 where it cannot be done.</returns>
    /// <exception cref="BlockException">The storage failed or is full.</exception>
    internal long Copy(int sourceFd, long sourceOffset, long offset, long length, CopyRangeMode mode)
    {
        if (!cloneUnsupported)
        {
            LibC.CloneRangeArgument argument = new()
            {
                SourceFd = sourceFd,
                SourceOffset = (ulong)sourceOffset,
                SourceLength = (ulong)length,
                TargetOffset = (ulong)offset,
            };
            if (LibC.Control(fd, LibC.CloneRange, &argument) == 0)
            {
                return length;
            }

            // EINVAL says that this range is not aligned to the file system's blocks; the others, that it never will do.
            if (Marshal.GetLastPInvokeError() != LibC.Invalid)
            {
                cloneUnsupported = true;
            }
        }

        if (mode == CopyRangeMode.ReflinkOnly || copyUnsupported)
        {
            return 0;
        }

        long done = 0;
        while (done < length)
        {
            long inAt = sourceOffset + done;
            long outAt = offset + done;
            var n = LibC.CopyFileRange(sourceFd, &inAt, fd, &outAt, (nint)Math.Min(length - done, 1L << 30), 0);
            if (n > 0)
            {
                done += n;
                continue;
            }

            if (n == 0)
            {
                break; // the source ends here
            }

            var errno = Marshal.GetLastPInvokeError();
            if (errno == LibC.Interrupted)
            {
                continue;
            }

            if (LibC.IsStorageFailure(errno))
            {
                throw BlockException.FromErrno(errno, $"Could not write to '{path}'", path, outAt);
            }

            copyUnsupported = true;
            break;
        }

        return done;
    }
}
