using System.Globalization;

namespace Byre.Cli.Serve;

/// <summary>Whole numbers as C programs read them: decimal, hexadecimal behind 0x, octal behind 0.</summary>
internal static class PlainNumber
{
    /// <summary>Reads a number that is not negative. White space before it and a plus sign are allowed, nothing behind it.</summary>
    /// <param name="text">The text.</param>
    /// <param name="number">The number; from 0 to 2^63-1.</param>
    /// <returns>False where it is none.</returns>
    public static bool TryParse(string text, out long number)
    {
        var digits = text.AsSpan().TrimStart(" \t\n\v\f\r");
        digits = digits.StartsWith("+") ? digits[1..] : digits;
        if (digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            return long.TryParse(digits[2..], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number) && number >= 0;
        }

        if (digits is not ['0', _, ..])
        {
            return long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out number);
        }

        number = 0;
        foreach (var digit in digits)
        {
            if (digit is < '0' or > '7' || number > long.MaxValue >> 3)
            {
                return false;
            }

            number = (number << 3) | (uint)(digit - '0');
        }

        return true;
    }
}
