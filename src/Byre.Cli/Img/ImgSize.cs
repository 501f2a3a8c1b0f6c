using Byre.Cli.Io;

namespace Byre.Cli.Img;

/// <summary>Sizes and offsets on qemu-img's command line.</summary>
internal static class ImgSize
{
    /// <summary>Reads a size: decimal with a fraction and a suffix (b k M G T P E, powers of 1024) or hexadecimal after 0x.</summary>
    /// <param name="text">The word.</param>
    /// <param name="what">What the number is, for the error: "image size".</param>
    /// <param name="minimum">The least that is valid.</param>
    /// <param name="maximum">The most that is valid.</param>
    /// <exception cref="ImgFailure">It is no size, or out of range.</exception>
    public static long Parse(string text, string what, long minimum = 0, long maximum = long.MaxValue)
    {
        var error = IoNumber.ParseSize(text, out var value);
        if (error == IoNumberError.OutOfRange || (error == IoNumberError.None && (value < minimum || value > maximum)))
        {
            throw new ImgFailure($"Invalid {what} '{text}': it must be between {minimum} and {maximum}");
        }

        if (error != IoNumberError.None)
        {
            throw new ImgFailure(
                $"Invalid {what} '{text}': write a number of bytes, or one with a suffix k, M, G, T, P or E (powers of 1024)");
        }

        return value;
    }
}
