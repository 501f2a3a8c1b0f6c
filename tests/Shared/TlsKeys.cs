using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Byre.TestTools;

/// <summary>An authority, and what it vouches for, in directories with the names that TLS credentials have.</summary>
internal sealed class TlsKeys : IDisposable
{
    private readonly RSA key = RSA.Create(2048);
    private readonly X509Certificate2 authority;
    private readonly DateTimeOffset now = DateTimeOffset.UtcNow;
    private byte serial = 1;

    public TlsKeys(string name = "Test authority")
    {
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        authority = request.CreateSelfSigned(now.AddDays(-2), now.AddDays(10));
    }

    /// <summary>ca-cert.pem in a directory, which is made.</summary>
    public string AddAuthority(string directory)
    {
        Directory.CreateDirectory(directory);
        File.WriteAllText(Path.Combine(directory, "ca-cert.pem"), authority.ExportCertificatePem() + "\n");
        return directory;
    }

    /// <summary>server-cert.pem and server-key.pem, with ca-cert.pem.</summary>
    public string AddServer(string directory, string host = "server.example", int fromDay = -1, int toDay = 5, string? passphrase = null)
    {
        Add(directory, "server", Name("Byre", host), "1.3.6.1.5.5.7.3.1", host, fromDay, toDay, passphrase);
        return directory;
    }

    /// <summary>client-cert.pem and client-key.pem, with ca-cert.pem.</summary>
    /// <returns>The certificate's serial number.</returns>
    public byte AddClient(string directory, X500DistinguishedName? name = null, int fromDay = -1, int toDay = 5) =>
        Add(directory, "client", name ?? Name("Example, Org", "laptop"), "1.3.6.1.5.5.7.3.2", null, fromDay, toDay, null);

    /// <summary>ca-crl.pem: certificates that are no longer good.</summary>
    public void Revoke(string directory, params byte[] serials)
    {
        var list = new CertificateRevocationListBuilder();
        foreach (var one in serials)
        {
            list.AddEntry([one]);
        }

        var der = list.Build(authority, 1, now.AddDays(5), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1, now.AddDays(-1));
        File.WriteAllText(Path.Combine(directory, "ca-crl.pem"), PemEncoding.WriteString("X509 CRL", der) + "\n");
    }

    /// <summary>keys.psk with the keys of users, in a directory, which is made.</summary>
    public static string AddKeys(string directory, params (string User, string Key)[] keys)
    {
        Directory.CreateDirectory(directory);
        File.WriteAllText(Path.Combine(directory, "keys.psk"), string.Concat(keys.Select(k => $"{k.User}:{k.Key}\n")));
        return directory;
    }

    /// <summary>A name with an organization and a common name, in this order.</summary>
    public static X500DistinguishedName Name(string organization, string common)
    {
        var name = new X500DistinguishedNameBuilder();
        name.AddCommonName(common);
        name.AddOrganizationName(organization); // the builder begins with what was added last
        return name.Build();
    }

    public void Dispose()
    {
        authority.Dispose();
        key.Dispose();
    }

    private byte Add(
        string directory, string role, X500DistinguishedName name, string purpose, string? host, int fromDay, int toDay, string? passphrase)
    {
        AddAuthority(directory);
        using var own = RSA.Create(2048);
        var request = new CertificateRequest(name, own, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyEncipherment, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], false));
        if (host is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(host);
            names.AddDnsName("localhost");
            names.AddIpAddress(IPAddress.Loopback);
            request.CertificateExtensions.Add(names.Build());
        }

        var number = serial++;
        using var certificate = request.Create(authority, now.AddDays(fromDay), now.AddDays(toDay), [number]);
        File.WriteAllText(Path.Combine(directory, $"{role}-cert.pem"), certificate.ExportCertificatePem() + "\n");
        var pem = passphrase is null
            ? own.ExportPkcs8PrivateKeyPem()
            : own.ExportEncryptedPkcs8PrivateKeyPem(passphrase, new PbeParameters(PbeEncryptionAlgorithm.Aes256Cbc, HashAlgorithmName.SHA256, 1000));
        File.WriteAllText(Path.Combine(directory, $"{role}-key.pem"), pem + "\n", new UTF8Encoding(false));
        return number;
    }
}
