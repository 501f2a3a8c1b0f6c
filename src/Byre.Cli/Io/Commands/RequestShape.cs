using System.Globalization;

namespace Byre.Cli.Io.Commands;

/// <summary>What the commands that read and write share: their operands, checked, and their results, printed.</summary>
internal static class RequestShape
{
    /// <summary>The byte that writes without a pattern are full of.</summary>
    public const byte DefaultPattern = 0xcd;

    /// <summary>Reads an offset or a length; prints what is wrong with it.</summary>
    public static bool TryNumber(IoSession session, string text, out long value)
    {
        switch (IoNumber.ParseSize(text, out value))
        {
            case IoNumberError.None:
                return true;
            case IoNumberError.OutOfRange:
                return session.Fail($"Parsing error: the number is out of range -- {text}");
            default:
                return session.Fail($"Parsing error: not a number with a known suffix -- {text}");
        }
    }

    /// <summary>Reads the length of one request; prints what is wrong with it.</summary>
    public static bool TryLength(IoSession session, string text, out long value)
    {
        if (!TryNumber(session, text, out value))
        {
            return false;
        }

        return value <= IoNumber.MaxRequest || session.Fail($"length cannot exceed {IoNumber.MaxRequest}, given {text}");
    }

    /// <summary>Reads the pattern option, if it was given; prints what is wrong with it.</summary>
    public static bool TryPattern(IoSession session, IoArguments arguments, out byte? pattern)
    {
        pattern = null;
        foreach (var (letter, value) in arguments.Options)
        {
            if (letter != 'P')
            {
                continue;
            }

            if (!IoNumber.TryParsePattern(value!, out var parsed))
            {
                return session.Fail($"{value} is not a valid pattern byte");
            }

            pattern = parsed;
        }

        return true;
    }

    /// <summary>Reads several lengths and adds them up; prints what is wrong with them.</summary>
    public static bool TryLengths(IoSession session, IEnumerable<string> texts, out long total)
    {
        total = 0;
        foreach (var text in texts)
        {
            if (!TryNumber(session, text, out var length))
            {
                return false;
            }

            if (length > IoNumber.MaxRequest)
            {
                return session.Fail($"Argument '{text}' exceeds maximum size {IoNumber.MaxRequest}");
            }

            if (total + length > IoNumber.MaxRequest)
            {
                return session.Fail($"The lengths together exceed maximum size {IoNumber.MaxRequest}");
            }

            total += length;
        }

        return true;
    }

    /// <summary>A buffer full of one byte.</summary>
    public static byte[] Filled(long length, byte pattern)
    {
        var buffer = GC.AllocateUninitializedArray<byte>((int)length);
        buffer.AsSpan().Fill(pattern);
        return buffer;
    }

    /// <summary>Looks whether a buffer holds nothing but the pattern; prints where it was looked for if not.</summary>
    /// <param name="session">Where to print.</param>
    /// <param name="data">The bytes to look at.</param>
    /// <param name="pattern">The byte they should be.</param>
    /// <param name="offset">The offset of the first of them.</param>
    public static bool Verify(IoSession session, ReadOnlySpan<byte> data, byte pattern, long offset) =>
        !data.ContainsAnyExcept(pattern)
        || session.Fail(string.Create(CultureInfo.InvariantCulture, $"Pattern verification failed at offset {offset}, {data.Length} bytes"));

    /// <summary>The system's words for a failed request. A range outside of the image is an input/output error here.</summary>
    public static string Describe(Byre.Nodes.BlockException failure) =>
        Byre.Nodes.ErrorCodes.Describe(failure.Code == Byre.Nodes.ErrorCode.OutOfRange ? 5 : failure.Errno);
}
