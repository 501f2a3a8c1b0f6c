using Byre.Blockdev;
using Byre.Nodes;
using Byre.TestTools;

namespace Byre.Tests.Blockdev;

public sealed class ObjectStoreTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-objects").FullName;
    private readonly ObjectStore store = new();

    public void Dispose()
    {
        store.Dispose();
        Directory.Delete(directory, recursive: true);
    }

    [Theory]
    [InlineData("bogus,id=a", "there is no object type 'bogus'")]
    [InlineData("authz-simple,identity=x", "the 'authz-simple' lacks an id")]
    [InlineData("authz-simple,id=a", "authz-simple 'a': 'identity' must say who may connect")]
    [InlineData("authz-simple,id=a,identity=x,foo=1", "authz-simple 'a': there is no option 'foo' for it")]
    [InlineData("authz-list,id=a,policy=maybe", "authz-list 'a': a policy is allow or deny, not 'maybe'")]
    [InlineData("authz-list,id=a,rules.1.match=x,rules.1.policy=allow", "authz-list 'a': rule 0 must say whom it matches (rules.0.match)")]
    [InlineData("authz-list,id=a,rules.0.match=x", "authz-list 'a': rule 0 must say 'allow' or 'deny' (rules.0.policy)")]
    [InlineData("authz-list,id=a,rules.0.match=x,rules.0.policy=allow,rules.0.format=regex", "authz-list 'a': the format of rule 0 is exact or glob, not 'regex'")]
    [InlineData("authz-list-file,id=a", "authz-list-file 'a': 'filename' must name the file of its rules")]
    [InlineData("authz-list-file,id=a,filename=", "authz-list-file 'a': 'filename' must name the file of its rules")]
    [InlineData("authz-pam,id=a,service=x", "authz-pam 'a': the system's authentication modules (PAM) are not supported")]
    [InlineData("tls-creds-anon,id=a,endpoint=server,priority=NORMAL:-VERS-TLS1.2", "TLS priority 'NORMAL:-VERS-TLS1.2': TLS without credentials is of version 1.2")]
    [InlineData("tls-creds-anon,id=a,username=b", "tls-creds-anon 'a': there is no option 'username' for it")]
    [InlineData("tls-creds-x509,id=a", "tls-creds-x509 'a': 'dir' must name the directory of its certificates")]
    [InlineData("tls-creds-x509,id=a,dir=", "tls-creds-x509 'a': 'dir' must name the directory of its certificates")]
    [InlineData("tls-creds-x509,id=a,endpoint=server,dir=", "tls-creds-x509 'a': 'dir' must name the directory of its certificates")]
    [InlineData("tls-creds-psk,id=a,dir=", "tls-creds-psk 'a': 'dir' must name the directory of its file of keys")]
    [InlineData("tls-creds-x509,id=a,dir=/x,endpoint=both", "tls-creds-x509 'a': its endpoint is server or client, not 'both'")]
    [InlineData("tls-creds-x509,id=a,dir=/x,verify-peer=7", "tls-creds-x509 'a': '7' is not a value for verify-peer (on, off)")]
    [InlineData("tls-creds-x509,id=a,dir=/x,passwordid=p", "No secret with id 'p'")]
    [InlineData("tls-creds-x509,id=a,dir=/nonexistent", "TLS: could not read '/nonexistent/ca-cert.pem': No such file or directory")]
    [InlineData("tls-creds-psk,id=a,endpoint=server,dir=/nonexistent", "TLS: could not read '/nonexistent/keys.psk': No such file or directory")]
    [InlineData("tls-creds-psk,id=a,endpoint=client,dir=/x,foo=1", "tls-creds-psk 'a': there is no option 'foo' for it")]
    public void Definitions_that_are_not_valid_are_refused(string definition, string message) =>
        Assert.Equal(message, Assert.Throws<BlockException>(() => store.Add(definition)).Message);

    [Theory]
    [InlineData("tls-creds-psk", "client", "dir")]
    [InlineData("tls-creds-psk", "server", "dir")]
    [InlineData("tls-creds-x509", "client", "dir")]
    [InlineData("tls-creds-x509", "server", "dir")]
    [InlineData("authz-list-file", null, "filename")]
    [InlineData("secret", null, "file")]
    public void No_file_has_a_NUL_in_its_name(string type, string? endpoint, string option)
    {
        var definition = $"{{\"qom-type\":\"{type}\",\"id\":\"a\",\"{option}\":\"x\\u0000y\"{(endpoint is null ? "" : $",\"endpoint\":\"{endpoint}\"")}}}";
        Assert.DoesNotContain(Assert.Throws<BlockException>(() => store.Add(definition)).Message, char.IsControl);
    }

    [Fact]
    public void An_id_is_there_once()
    {
        store.Add("secret,id=a,data=x");
        Assert.Equal("the id 'a' is there twice", Assert.Throws<BlockException>(() => store.Add("authz-simple,id=a,identity=x")).Message);
        store.Add("""{"qom-type":"authz-simple","id":"b","identity":"x"}""");
        store.Add("iothread,id=c");
        Assert.True(store.Authorization("b")("x"));
        Assert.Equal("Object 'c' is no authorization", Assert.Throws<BlockException>(() => store.Authorization("c")).Message);
        Assert.Equal("No authorization with id 'd'", Assert.Throws<BlockException>(() => store.Authorization("d")).Message);
    }

    [Fact]
    public void Who_has_shown_nothing_may_do_nothing()
    {
        store.Add("authz-list,id=a,policy=allow");
        Assert.True(store.Authorization("a")("anybody"));
        Assert.False(store.Authorization("a")(null));
    }

    [Theory]
    [InlineData("CN=fred", true)]
    [InlineData("CN=fredd", false)]
    [InlineData("CN=bob,O=Byre", true)]
    [InlineData("CN=bob,O=Other", false)]
    [InlineData("CN=dan", false)]
    [InlineData("CN=dab", true)]
    [InlineData("CN=d\U0001F600b", true)]
    [InlineData("CN=d\U0001F600\U0001F600b", false)]
    public void The_first_rule_decides(string name, bool may)
    {
        store.Add("authz-list,id=a,rules.0.match=CN=fred,rules.0.policy=allow,rules.1.match=CN=*,,O=Byre,rules.1.policy=allow,rules.1.format=glob,"
            + "rules.2.match=CN=*n*,rules.2.format=glob,rules.2.policy=deny,rules.3.match=CN=d??,rules.3.format=glob,rules.3.policy=allow");
        Assert.Equal(may, store.Authorization("a")(name));
    }

    [Fact]
    public void Patterns_cost_no_more_than_their_lengths()
    {
        store.Add($"authz-list,id=a,rules.0.match={string.Concat(Enumerable.Repeat("*a", 500))}b,rules.0.policy=allow,rules.0.format=glob");
        Assert.False(store.Authorization("a")(new string('a', 4000)));
    }

    [Fact]
    public void Rules_in_a_file_are_read_again_when_it_changes()
    {
        var path = Path.Combine(directory, "rules");
        Write("""{ "policy": "deny", "rules": [ { "match": "fred", "policy": "allow", "format": "exact" }, { "match": "b*", "policy": "allow", "format": "glob" } ] }""");
        store.Add($"authz-list-file,id=a,filename={path}");
        store.Add($"authz-list-file,id=b,filename={path},refresh=off");
        var (fresh, first) = (store.Authorization("a"), store.Authorization("b"));
        Assert.True(fresh("fred") && fresh("bob") && !fresh("alice"));

        Write("""{ "policy": "deny", "rules": [ { "match": "alice", "policy": "allow" } ] }""");
        Assert.True(fresh("alice") && !fresh("fred"));
        Assert.True(first("fred") && !first("alice"));

        Write("rubbish");
        Assert.False(fresh("alice"));
        File.Delete(path);
        Assert.False(fresh("alice"));
        Write("""{ "policy": "allow" }""");
        Assert.True(fresh("whoever"));

        void Write(string text)
        {
            File.WriteAllText(path, text);
            File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddSeconds(text.Length)); // a clock of coarse steps still shows the change
        }
    }

    [Fact]
    public void Files_of_rules_that_are_not_valid_are_refused()
    {
        var path = Path.Combine(directory, "rules");
        foreach (var text in (string[])["", "[]", "{", """{"policy": 1}""", """{"policy": "deny", "policy": "allow"}""", """{"rules": {}, "foo": 1}""", """{"rules": [{"match": "x"}]}"""])
        {
            File.WriteAllText(path, text);
            var message = Assert.Throws<BlockException>(() => store.Add($"authz-list-file,id=a,filename={path}")).Message;
            Assert.StartsWith("authz-list-file 'a': ", message, StringComparison.Ordinal);
            Assert.Contains(path, message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Credentials_are_for_one_side()
    {
        TlsKeys.AddKeys(directory, ("qemu", "00112233445566778899aabbccddeeff"));
        store.Add($"tls-creds-psk,id=s,endpoint=server,dir={directory}");
        store.Add($"tls-creds-psk,id=c,endpoint=client,dir={directory}");
        store.Add("secret,id=x,data=y");
        Assert.True(store.TlsServer("s").IsRequired);
        Assert.NotNull(store.TlsClient("c"));
        Assert.Contains("endpoint=client", Assert.Throws<BlockException>(() => store.TlsClient("s")).Message, StringComparison.Ordinal);
        Assert.Contains("endpoint=server", Assert.Throws<BlockException>(() => store.TlsServer("c")).Message, StringComparison.Ordinal);
        Assert.Equal("Object 'x' is no TLS credentials", Assert.Throws<BlockException>(() => store.TlsClient("x")).Message);
        Assert.Equal(ErrorCode.NotFound, Assert.Throws<BlockException>(() => store.TlsServer("z")).Code);
        Assert.Contains("'username' is for a client", Assert.Throws<BlockException>(
            () => store.Add($"tls-creds-psk,id=t,endpoint=server,dir={directory},username=x")).Message, StringComparison.Ordinal);
    }
}
