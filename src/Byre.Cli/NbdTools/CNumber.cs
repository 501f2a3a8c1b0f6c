using System.Globalization;
using System.Numerics;

namespace Byre.Cli.NbdTools;

/// <summary>Numbers as C's printf writes them: exact, with halves to the even neighbour.</summary>
internal static class CNumber
{
    private const int FractionBits = 52;

    /// <summary>"%.1f" of a number from 0 to 1000.</summary>
    public static string OneDecimal(double value)
    {
        var tenths = Rounded(value, scale: 10);
        return string.Create(CultureInfo.InvariantCulture, $"{tenths / 10}.{tenths % 10}");
    }

    /// <summary>"%g" of a number from 0 to 99999: six significant digits, no zeroes behind the last one.</summary>
    public static string SixDigits(double value)
    {
        if (value <= 0)
        {
            return "0";
        }

        // The exponent of the first digit, after rounding to six.
        var exponent = (int)Math.Floor(Math.Log10(value));
        var digits = Scaled(value, 5 - exponent);
        while (digits < 100_000)
        {
            digits = Scaled(value, 5 - --exponent);
        }

        while (digits > 999_999)
        {
            digits = Scaled(value, 5 - ++exponent);
        }

        var text = digits.ToString(CultureInfo.InvariantCulture);
        if (exponent < -4)
        {
            var mantissa = $"{text[..1]}.{text[1..]}".TrimEnd('0').TrimEnd('.');
            return string.Create(CultureInfo.InvariantCulture, $"{mantissa}e-{-exponent:00}");
        }

        var plain = exponent < 0
            ? "0." + new string('0', -exponent - 1) + text
            : text[..(exponent + 1)] + "." + text[(exponent + 1)..];
        return plain.TrimEnd('0').TrimEnd('.');
    }

    /// <summary>value * 10^power, rounded.</summary>
    private static BigInteger Scaled(double value, int power) => Rounded(value, BigInteger.Pow(10, Math.Max(0, power)), BigInteger.Pow(10, Math.Max(0, -power)));

    private static BigInteger Rounded(double value, BigInteger scale) => Rounded(value, scale, BigInteger.One);

    private static BigInteger Rounded(double value, BigInteger times, BigInteger over)
    {
        var bits = BitConverter.DoubleToInt64Bits(value);
        var exponent = (int)((bits >> FractionBits) & 0x7ff);
        var mantissa = (bits & ((1L << FractionBits) - 1)) | (exponent == 0 ? 0 : 1L << FractionBits);
        var shift = Math.Max(exponent, 1) - 1023 - FractionBits;
        var numerator = mantissa * times * BigInteger.Pow(2, Math.Max(0, shift));
        var denominator = over * BigInteger.Pow(2, Math.Max(0, -shift));
        var whole = BigInteger.DivRem(numerator, denominator, out var rest);
        var half = (rest * 2).CompareTo(denominator);
        return half > 0 || (half == 0 && !whole.IsEven) ? whole + 1 : whole;
    }
}
