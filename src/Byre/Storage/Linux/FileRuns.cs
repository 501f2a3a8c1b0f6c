using System.Runtime.InteropServices;

namespace Byre.Storage.Linux;

/// <summary>The runs of data and holes of an open regular file (SEEK_DATA and SEEK_HOLE of lseek(2)).</summary>
internal sealed class FileRuns(int fd, string path)
{
    /// <summary>Finds where the run of data or hole at <paramref name="offset"/> ends.</summary>
    /// <param name="offset">A byte of the file, or beyond its end.</param>
    /// <param name="isData">Whether it lies in data.</param>
    /// <param name="end">The first byte after the run.</param>
    /// <returns>False where the file system cannot tell; <paramref name="end"/> then means nothing.</returns>
    internal bool TryFind(long offset, out bool isData, out long end)
    {
        isData = true;
        end = 0;
        var data = LibC.Seek(fd, offset, LibC.SeekData);
        if (data < 0)
        {
            if (Marshal.GetLastPInvokeError() != LibC.NoDeviceData)
            {
                return false;
            }

            // No data from here to the end; behind the end of a file that somebody has cut off there is nothing at all.
            isData = false;
            end = FileStatus.Of(fd, path).Size is var size && size > offset ? size : long.MaxValue;
            return true;
        }

        if (data > offset)
        {
            isData = false;
            end = data;
            return true;
        }

        var hole = LibC.Seek(fd, offset, LibC.SeekHole);
        if (hole <= offset)
        {
            return false; // the file shrank meanwhile, or the call failed
        }

        end = hole;
        return true;
    }
}
