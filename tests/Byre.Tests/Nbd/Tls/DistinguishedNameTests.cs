using System.Formats.Asn1;
using Byre.Nbd.Tls;

namespace Byre.Tests.Nbd.Tls;

public class DistinguishedNameTests
{
    [Fact]
    public void Parts_stand_in_the_order_of_the_certificate() => Assert.Equal(
        "C=GB,ST=London,O=Example,OU=Unit,CN=client,UID=u1,DC=example,serialNumber=12345",
        Format([("2.5.4.6", "GB")], [("2.5.4.8", "London")], [("2.5.4.10", "Example")], [("2.5.4.11", "Unit")], [("2.5.4.3", "client")],
            [("0.9.2342.19200300.100.1.1", "u1")], [("0.9.2342.19200300.100.1.25", "example")], [("2.5.4.5", "12345")]));

    [Theory]
    [InlineData("Lon, don+x", "Lon\\, don\\+x")]
    [InlineData("Example \"Org\"", "Example \\\"Org\\\"")]
    [InlineData("#unit ü", "\\#unit ü")]
    [InlineData(" laptop ", "\\ laptop\\ ")]
    [InlineData("a;b<c>d\\e", "a\\;b\\<c\\>d\\\\e")]
    [InlineData("a=b#c", "a=b#c")]
    [InlineData("x\0y", "x\\00y")]
    [InlineData("", "")]
    public void What_could_be_taken_for_another_part_is_escaped(string value, string text) =>
        Assert.Equal("CN=" + text, Format([("2.5.4.3", value)]));

    [Fact]
    public void Several_values_of_one_part_are_joined_by_a_plus() =>
        Assert.Equal("O=Byre,CN=a+UID=b", Format([("2.5.4.10", "Byre")], [("2.5.4.3", "a"), ("0.9.2342.19200300.100.1.1", "b")]));

    [Fact]
    public void Unknown_attributes_are_bytes() => Assert.Equal("1.2.3.4.5=#0c0478797a77", Format([("1.2.3.4.5", "xyzw")]));

    [Fact]
    public void Numbers_in_another_type_of_string_are_bytes() => Assert.Equal("telephoneNumber=#0c03313233", Format([("2.5.4.20", "123")]));

    [Fact]
    public void No_parts_are_no_text() => Assert.Equal("", Format());

    [Fact]
    public void Rubbish_is_no_name() => Assert.Throws<AsnContentException>(() => DistinguishedName.Format(new byte[] { 0x30, 0x05, 1 }));

    private static string Format(params (string Type, string Value)[][] parts)
    {
        var writer = new AsnWriter(AsnEncodingRules.DER);
        using (writer.PushSequence())
        {
            foreach (var part in parts)
            {
                using (writer.PushSetOf())
                {
                    foreach (var (type, value) in part)
                    {
                        using (writer.PushSequence())
                        {
                            writer.WriteObjectIdentifier(type);
                            writer.WriteCharacterString(
                                type is "2.5.4.5" or "2.5.4.6" ? UniversalTagNumber.PrintableString
                                    : type.EndsWith(".25", StringComparison.Ordinal) ? UniversalTagNumber.IA5String : UniversalTagNumber.UTF8String,
                                value);
                        }
                    }
                }
            }
        }

        return DistinguishedName.Format(writer.Encode());
    }
}
