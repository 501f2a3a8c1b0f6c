using System.Formats.Asn1;
using System.Text;

namespace Byre.Nbd.Tls;

/// <summary>
/// The name of a certificate's owner as text, in the form that rules of authorization are written in: the parts in the
/// order of the certificate, "C=GB,O=Example,CN=client", with the characters of RFC 4514, section 2.4, behind backslashes.
/// </summary>
internal static class DistinguishedName
{
    /// <summary>The names of attributes; others are written as their number, with the bytes of their value behind "#".</summary>
    private static readonly Dictionary<string, string> Keywords = new(StringComparer.Ordinal)
    {
        ["2.5.4.3"] = "CN",
        ["2.5.4.4"] = "surName",
        ["2.5.4.5"] = "serialNumber",
        ["2.5.4.6"] = "C",
        ["2.5.4.7"] = "L",
        ["2.5.4.8"] = "ST",
        ["2.5.4.9"] = "street",
        ["2.5.4.10"] = "O",
        ["2.5.4.11"] = "OU",
        ["2.5.4.12"] = "title",
        ["2.5.4.13"] = "description",
        ["2.5.4.15"] = "businessCategory",
        ["2.5.4.17"] = "postalCode",
        ["2.5.4.20"] = "telephoneNumber",
        ["2.5.4.41"] = "name",
        ["2.5.4.42"] = "givenName",
        ["2.5.4.43"] = "initials",
        ["2.5.4.44"] = "generationQualifier",
        ["2.5.4.46"] = "dnQualifier",
        ["2.5.4.65"] = "pseudonym",
        ["0.9.2342.19200300.100.1.1"] = "UID",
        ["0.9.2342.19200300.100.1.25"] = "DC",
        ["1.2.840.113549.1.9.1"] = "EMAIL",
    };

    /// <summary>The text of a name.</summary>
    /// <param name="der">The name in DER: RDNSequence of RFC 5280, section 4.1.2.4.</param>
    /// <returns>The text; empty for a name without parts.</returns>
    /// <exception cref="AsnContentException">The bytes are no name.</exception>
    public static string Format(ReadOnlyMemory<byte> der)
    {
        var text = new StringBuilder();
        var name = new AsnReader(der, AsnEncodingRules.DER).ReadSequence();
        while (name.HasData)
        {
            var separator = text.Length == 0 ? "" : ",";
            var part = name.ReadSetOf(skipSortOrderValidation: true);
            while (part.HasData)
            {
                text.Append(separator);
                separator = "+";
                var attribute = part.ReadSequence();
                Append(text, attribute.ReadObjectIdentifier(), attribute.ReadEncodedValue());
                attribute.ThrowIfNotEmpty();
            }
        }

        return text.ToString();
    }

    /// <summary>Attributes whose values have one type of string (RFC 5280, appendix A.1); in another one they are but bytes.</summary>
    private static UniversalTagNumber? OnlyTypeOf(string type) => type switch
    {
        "2.5.4.5" or "2.5.4.6" or "2.5.4.20" or "2.5.4.46" => UniversalTagNumber.PrintableString,
        "0.9.2342.19200300.100.1.25" or "1.2.840.113549.1.9.1" => UniversalTagNumber.IA5String,
        _ => null,
    };

    private static void Append(StringBuilder text, string type, ReadOnlyMemory<byte> value)
    {
        if (Keywords.TryGetValue(type, out var keyword) && TextOf(value, OnlyTypeOf(type)) is { } content)
        {
            text.Append(keyword).Append('=');
            AppendEscaped(text, content);
            return;
        }

        text.Append(keyword ?? type).Append("=#").Append(Convert.ToHexStringLower(value.Span));
    }

    private static string? TextOf(ReadOnlyMemory<byte> value, UniversalTagNumber? only)
    {
        var reader = new AsnReader(value, AsnEncodingRules.DER);
        var tag = reader.PeekTag();
        if (tag.TagClass != TagClass.Universal || (only is { } one && tag.TagValue != (int)one))
        {
            return null;
        }

        return (UniversalTagNumber)tag.TagValue switch
        {
            var kind and (UniversalTagNumber.UTF8String or UniversalTagNumber.PrintableString or UniversalTagNumber.IA5String
                or UniversalTagNumber.T61String or UniversalTagNumber.BMPString or UniversalTagNumber.NumericString
                or UniversalTagNumber.VisibleString) => reader.ReadCharacterString(kind),
            _ => null,
        };
    }

    private static void AppendEscaped(StringBuilder text, string value)
    {
        for (var i = 0; i < value.Length; i++)
        {
            var c = value[i];
            if (c is ',' or '+' or '"' or '\\' or '<' or '>' or ';'
                || (c == '#' && i == 0)
                || (c == ' ' && (i == 0 || i == value.Length - 1)))
            {
                text.Append('\\').Append(c);
            }
            else if (c == '\0')
            {
                text.Append("\\00");
            }
            else
            {
                text.Append(c);
            }
        }
    }
}
