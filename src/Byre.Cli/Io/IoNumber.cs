using System.Globalization;

namespace Byre.Cli.Io;

/// <summary>Numbers as qemu-io's commands write them.</summary>
internal static class IoNumber
{
    /// <summary>The longest request of one command, in bytes.</summary>
    public const long MaxRequest = int.MaxValue / 512 * 512L;

    /// <summary>
    /// Reads a size: decimal, with a fraction where a suffix of b, k, M, G, T, P or E follows (powers of 1024, either
    /// case), or hexadecimal after 0x without a suffix. 0 to <see cref="long.MaxValue"/>.
    /// </summary>
    public static IoNumberError ParseSize(string text, out long value)
    {
        value = 0;
        var s = text.AsSpan().TrimStart(" \t\n\v\f\r");
        if (s.StartsWith("-"))
        {
            return s.Length > 1 && char.IsAsciiDigit(s[1]) ? IoNumberError.OutOfRange : IoNumberError.NotANumber;
        }

        if (s.StartsWith("+"))
        {
            s = s[1..];
        }

        return s.StartsWith("0x", StringComparison.OrdinalIgnoreCase)
            ? ParseHex(s[2..], out value)
            : ParseDecimal(s, out value);
    }

    /// <summary>Reads a pattern byte: decimal, octal after 0, or hexadecimal after 0x; 0 to 255.</summary>
    public static bool TryParsePattern(string text, out byte value)
    {
        var ok = TryParseInteger(text, out var number) && number is >= 0 and <= 255;
        value = ok ? (byte)number : (byte)0;
        return ok;
    }

    /// <summary>Reads a number as C's strtol does with base 0, all of the text.</summary>
    public static bool TryParseInteger(string text, out long value)
    {
        value = 0;
        var s = text.AsSpan().TrimStart(" \t\n\v\f\r");
        var negative = s.StartsWith("-");
        if (negative || s.StartsWith("+"))
        {
            s = s[1..];
        }

        var radix = 10;
        if (s.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            radix = 16;
            s = s[2..];
        }
        else if (s.Length > 1 && s[0] == '0')
        {
            radix = 8;
            s = s[1..];
        }

        if (s.IsEmpty)
        {
            return false;
        }

        UInt128 number = 0;
        foreach (var c in s)
        {
            var digit = char.IsAsciiHexDigit(c) ? Convert.ToInt32(c.ToString(), 16) : radix;
            if (digit >= radix)
            {
                return false;
            }

            number = (number * (UInt128)radix) + (UInt128)digit;
            if (number > long.MaxValue)
            {
                return false;
            }
        }

        value = negative ? -(long)number : (long)number;
        return true;
    }

    private static IoNumberError ParseHex(ReadOnlySpan<char> digits, out long value)
    {
        value = 0;
        foreach (var c in digits)
        {
            if (!char.IsAsciiHexDigit(c))
            {
                return IoNumberError.NotANumber;
            }
        }

        var significant = digits.TrimStart('0');
        if (digits.IsEmpty)
        {
            return IoNumberError.NotANumber;
        }

        if (significant.Length > 16)
        {
            return IoNumberError.OutOfRange;
        }

        var bits = significant.IsEmpty ? 0 : ulong.Parse(significant, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
        value = unchecked((long)bits);
        return bits > long.MaxValue ? IoNumberError.OutOfRange : IoNumberError.None;
    }

    private static IoNumberError ParseDecimal(ReadOnlySpan<char> s, out long value)
    {
        value = 0;
        var whole = CountDigits(s);
        var rest = s[whole..];
        var fraction = ReadOnlySpan<char>.Empty;
        if (rest.StartsWith("."))
        {
            var n = CountDigits(rest[1..]);
            fraction = rest.Slice(1, n);
            rest = rest[(n + 1)..];
        }

        if (whole + fraction.Length == 0 || rest.Length > 1)
        {
            return IoNumberError.NotANumber;
        }

        var shift = rest.IsEmpty ? 0 : "bkmgtpe".IndexOf(char.ToLowerInvariant(rest[0]), StringComparison.Ordinal) * 10;
        var fractional = fraction.IsEmpty ? 0 : double.Parse($"0.{fraction}", CultureInfo.InvariantCulture);
        if (shift < 0 || (shift == 0 && fractional != 0))
        {
            return IoNumberError.NotANumber;
        }

        var significant = s[..whole].TrimStart('0');
        if (significant.Length > 19)
        {
            return IoNumberError.OutOfRange;
        }

        var number = significant.IsEmpty ? UInt128.Zero : ulong.Parse(significant, CultureInfo.InvariantCulture);
        number = (number << shift) + (ulong)Math.Floor((fractional * (1L << shift)) + 0.5);
        if (number > long.MaxValue)
        {
            return IoNumberError.OutOfRange;
        }

        value = (long)number;
        return IoNumberError.None;
    }

    private static int CountDigits(ReadOnlySpan<char> s)
    {
        var n = 0;
        while (n < s.Length && char.IsAsciiDigit(s[n]))
        {
            n++;
        }

        return n;
    }
}
