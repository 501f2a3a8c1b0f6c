using System.Globalization;

namespace Byre.Blockdev;

/// <summary>Sizes as options write them: "65536", "64k", "1.5G", "0x200".</summary>
public static class SizeText
{
    private const string Suffixes = "bkmgtpe";

    /// <summary>
    /// Reads a size: decimal, with a fraction where a suffix of b, k, M, G, T, P or E (powers of 1024, either case) follows,
    /// or hexadecimal after 0x without a suffix.
    /// </summary>
    /// <param name="text">The text.</param>
    /// <param name="value">0 to <see cref="long.MaxValue"/>.</param>
    /// <returns>False where it is no such number, or a greater one.</returns>
    public static bool TryParse(string text, out long value)
    {
        ArgumentNullException.ThrowIfNull(text);
        value = 0;
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            return long.TryParse(text.AsSpan(2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value) && value >= 0;
        }

        var shift = 0;
        var hasSuffix = text.Length > 0 && !char.IsAsciiDigit(text[^1]) && text[^1] != '.';
        if (hasSuffix)
        {
            shift = Suffixes.IndexOf(char.ToLowerInvariant(text[^1]), StringComparison.Ordinal) * 10;
        }

        var digits = hasSuffix ? text.AsSpan(0, text.Length - 1) : text;
        var dot = digits.IndexOf('.');
        var whole = dot < 0 ? digits : digits[..dot];
        var fraction = 0.0;
        if (shift < 0 || whole.Length > 19
            || !ulong.TryParse(whole, NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            || (dot >= 0 && !double.TryParse($"0{digits[dot..]}", NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out fraction))
            || (fraction != 0 && shift == 0))
        {
            return false;
        }

        var bytes = ((UInt128)number << shift) + (ulong)Math.Floor((fraction * (1L << shift)) + 0.5);
        if (bytes > long.MaxValue)
        {
            return false;
        }

        value = (long)bytes;
        return true;
    }
}
