using Byre.TestTools;

namespace Byre.Tests.Nbd.Tls;

/// <summary>Credentials that take a while to make, made once for a class of tests.</summary>
public sealed class TlsFixture : IDisposable
{
    public const string Host = "server.example";

    public TlsFixture()
    {
        using var keys = new TlsKeys();
        using var others = new TlsKeys("Another authority");
        Server = keys.AddServer(Make("server"), Host);
        Client = Make("client");
        keys.AddClient(Client);
        Revoked = Make("revoked");
        var serial = keys.AddClient(Revoked);
        Revoking = keys.AddServer(Make("revoking"), Host);
        keys.Revoke(Revoking, serial);
        Expired = keys.AddServer(Make("expired"), Host, fromDay: -2, toDay: -1);
        Stranger = Make("stranger");
        others.AddClient(Stranger);
        File.Copy(Path.Combine(Client, "ca-cert.pem"), Path.Combine(Stranger, "ca-cert.pem"), overwrite: true); // believes the server
        Anonymous = keys.AddAuthority(Make("anonymous"));
        Protected = keys.AddServer(Make("protected"), Host, passphrase: "opensesame");
        Keys = TlsKeys.AddKeys(Make("keys"), ("alice", "00112233445566778899aabbccddeeff"), ("qemu", "c0ffee00c0ffee00c0ffee00c0ffee00"));
        OtherKeys = TlsKeys.AddKeys(Make("otherkeys"), ("alice", "ffffffffffffffffffffffffffffffff"), ("mallory", "00112233445566778899aabbccddeeff"));
    }

    public string Root { get; } = Directory.CreateTempSubdirectory("byre-tls").FullName;

    public string Server { get; }

    public string Client { get; }

    public string Revoked { get; }

    public string Revoking { get; }

    public string Expired { get; }

    public string Stranger { get; }

    public string Anonymous { get; }

    public string Protected { get; }

    public string Keys { get; }

    public string OtherKeys { get; }

    public void Dispose() => Directory.Delete(Root, recursive: true);

    private string Make(string name) => Path.Combine(Root, name);
}
