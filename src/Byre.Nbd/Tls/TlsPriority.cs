using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>
/// Which protocol versions and ciphers are offered, out of the text that GnuTLS's users write for it ("NORMAL:-VERS-TLS1.3").
/// TLS 1.2 and 1.3 are all there is. What such a text allows beyond what is offered here changes nothing; what it takes away
/// is either done or refused, never passed over.
/// </summary>
/// <param name="LeastVersion">The lowest version: <see cref="LibSsl.Tls12"/> or <see cref="LibSsl.Tls13"/>.</param>
/// <param name="MostVersion">The highest one.</param>
/// <param name="OnlyStrong">Ciphers with keys of 256 bits only.</param>
internal sealed record TlsPriority(int LeastVersion, int MostVersion, bool OnlyStrong)
{
    // How what can be added begins: ciphers, exchanges of keys, and so on. All that is good of them is offered in any case.
    private static readonly string[] Addable =
    [
        "AES-", "CHACHA20-", "CAMELLIA-", "ARCFOUR-128", "3DES-CBC", "CIPHER-ALL", "ECDHE-", "DHE-", "RSA", "PSK", "ANON-", "KX-ALL", "SHA", "AEAD", "MD5",
        "MAC-ALL", "COMP-", "CTYPE-", "SIGN-", "CURVE-", "GROUP-",
    ];

    // What can be taken away, as it is never offered.
    private static readonly string[] NeverOffered =
        ["ARCFOUR-128", "3DES-CBC", "CAMELLIA-", "MD5", "RSA", "DHE-DSS", "ANON-", "SRP", "COMP-ALL", "COMP-DEFLATE", "CTYPE-OPENPGP"];

    /// <summary>What is offered when nothing is said.</summary>
    public static TlsPriority Default { get; } = new(LibSsl.Tls12, LibSsl.Tls13, OnlyStrong: false);

    /// <summary>The cipher suites of TLS 1.3, the best first.</summary>
    public string Suites13 => OnlyStrong
        ? "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
        : "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";

    /// <summary>The cipher suites of TLS 1.3 for keys that both sides know: these belong to SHA-256.</summary>
    public string PskSuites13 => OnlyStrong ? "TLS_CHACHA20_POLY1305_SHA256" : "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

    /// <summary>The ciphers of TLS 1.2 with certificates: the connection's keys are never those of the certificate.</summary>
    public string Ciphers12 => Strong(
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
        + "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256");

    /// <summary>The ciphers of TLS 1.2 with keys that both sides know; the last ones are for peers that know no others.</summary>
    public string PskCiphers12 => Strong(
        "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES256-CBC-SHA384:"
        + "PSK-AES256-GCM-SHA384:PSK-CHACHA20-POLY1305",
        "DHE-PSK-AES128-GCM-SHA256:ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256");

    /// <summary>
    /// The ciphers of TLS 1.2 without any credentials. GnuTLS has these; OpenSSL counts every cipher without authentication as of
    /// no security (level 0).
    /// </summary>
    public string AnonymousCiphers12 => Strong("ADH-AES256-GCM-SHA384", "ADH-AES128-GCM-SHA256") + ":@SECLEVEL=0";

    /// <summary>Reads a text.</summary>
    /// <param name="text">
    /// A level (NORMAL, PERFORMANCE, PFS, SECURE128, SECURE192, SECURE256, or the system's: "@NAMES,LEVEL"), then changes to it,
    /// parted by colons.
    /// </param>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotSupported"/>: it asks for what cannot be done.</exception>
    public static TlsPriority Parse(string text)
    {
        var words = text.Split(':');
        var level = words[0];
        var strong = level switch
        {
            "NORMAL" or "PERFORMANCE" or "PFS" or "SECURE128" => false,
            "SECURE192" or "SECURE256" => true,
            _ when level.StartsWith('@') => level.Split(',')[1..].Any(fallback => fallback is "SECURE192" or "SECURE256"),
            _ => throw Refused(text, $"it begins with '{level}', not with NORMAL, PERFORMANCE, PFS, SECURE128, SECURE192 or SECURE256"),
        };
        var (has12, has13) = (true, true);
        foreach (var word in words.AsSpan(1))
        {
            var adds = word.StartsWith('+');
            var item = word.Length > 0 && word[0] is '+' or '-' or '!' ? word[1..] : "";
            switch (item)
            {
                case "VERS-TLS1.2":
                    has12 = adds;
                    break;
                case "VERS-TLS1.3":
                    has13 = adds;
                    break;
                case "VERS-ALL" or "VERS-TLS-ALL":
                    (has12, has13) = (adds, adds);
                    break;
                case "VERS-TLS1.1" or "VERS-TLS1.0" or "VERS-SSL3.0" or "VERS-DTLS-ALL" or "VERS-DTLS1.0" or "VERS-DTLS1.2":
                case "" when word is "" or "%NO_TICKETS" or "%SERVER_PRECEDENCE" or "%SAFE_RENEGOTIATION":
                case not "" when Array.Exists(adds ? Addable : NeverOffered, known => item.StartsWith(known, StringComparison.Ordinal)):
                    break; // so it is in any case
                default:
                    throw Refused(text, $"'{word}' cannot be done here; protocol versions can be taken away, and the level be chosen");
            }
        }

        return (has12, has13) switch
        {
            (true, true) => new(LibSsl.Tls12, LibSsl.Tls13, strong),
            (true, false) => new(LibSsl.Tls12, LibSsl.Tls12, strong),
            (false, true) => new(LibSsl.Tls13, LibSsl.Tls13, strong),
            _ => throw Refused(text, "it leaves no version of TLS that is known here, which are 1.2 and 1.3"),
        };
    }

    private static BlockException Refused(string text, string why) => new(ErrorCode.NotSupported, $"TLS priority '{text}': {why}");

    private string Strong(string strong, string weaker) => OnlyStrong ? strong : $"{strong}:{weaker}";
}
