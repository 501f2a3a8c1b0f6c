using System.Globalization;

namespace Byre.Cli.Img;

/// <summary>Sizes for people, to the letter as qemu-img prints them: three significant digits and a unit.</summary>
internal static class HumanSize
{
    private const string Units = "KMGTPE";

    /// <summary>"512 B", "196 KiB", "1.5 MiB", "2.19 GiB".</summary>
    /// <param name="bytes">At least 0.</param>
    public static string Of(long bytes)
    {
        // The next unit begins at 1000 of the one before, so that three digits are enough.
        var unit = 0;
        while (unit < Units.Length && (ulong)bytes >= 1000UL << (10 * unit))
        {
            unit++;
        }

        var number = ThreeDigits((ulong)bytes, 10 * unit);
        return unit == 0 ? $"{number} B" : $"{number} {Units[unit - 1]}iB";
    }

    /// <summary>value / 2^shift with three significant digits, halves to even, without zeroes at its end: C's "%.3g".</summary>
    private static string ThreeDigits(ulong value, int shift)
    {
        var whole = (value >> shift).ToString(CultureInfo.InvariantCulture);
        var decimals = whole == "0" && shift > 0 ? 3 : Math.Max(0, 3 - whole.Length);
        var scale = decimals switch { 0 => 1u, 1 => 10u, 2 => 100u, _ => 1000u };
        var high = Math.BigMul(value, scale, out var low);
        var digits = shift == 0 ? low : (high << (64 - shift)) | (low >> shift);
        var rest = low & ((1UL << shift) - 1);
        var half = (1UL << shift) >> 1;
        if (shift > 0 && (rest > half || (rest == half && (digits & 1) != 0)))
        {
            digits++;
        }

        if (digits >= 1000 && decimals == 0)
        {
            return "1e+03";
        }

        var text = digits.ToString(CultureInfo.InvariantCulture).PadLeft(decimals + 1, '0');
        return decimals == 0 ? text : $"{text[..^decimals]}.{text[^decimals..]}".TrimEnd('0').TrimEnd('.');
    }
}
