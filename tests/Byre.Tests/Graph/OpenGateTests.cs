using System.Diagnostics;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Tests.Graph;

public sealed class OpenGateTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-gate").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Fact]
    public void Fixed_gates_say_what_they_say()
    {
        var request = Request("/etc/passwd");
        Assert.Equal("/etc/passwd", OpenGate.AllowAll.Check(request));
        var e = Assert.Throws<BlockException>(() => OpenGate.DenyAll.Check(request with { Name = "a\nb\u001b[2J" }));
        Assert.Equal(ErrorCode.AccessDenied, e.Code);
        Assert.Equal("The backing file 'a?b?[2J' of 'top.img' is not opened: references are not followed here.", e.Message);
    }

    [Fact]
    public void A_directory_gate_lets_nothing_lead_out()
    {
        var inside = Path.Combine(directory, "images");
        Directory.CreateDirectory(Path.Combine(inside, "sub"));
        File.WriteAllText(Path.Combine(inside, "base.img"), "");
        File.WriteAllText(Path.Combine(directory, "secret"), "");
        Directory.CreateDirectory(Path.Combine(directory, "images2"));
        File.WriteAllText(Path.Combine(directory, "images2", "x"), "");
        File.CreateSymbolicLink(Path.Combine(inside, "good"), "sub/../base.img");
        File.CreateSymbolicLink(Path.Combine(inside, "bad"), "../secret");
        File.CreateSymbolicLink(Path.Combine(inside, "sub", "out"), directory);
        File.CreateSymbolicLink(Path.Combine(inside, "round"), "round");
        File.CreateSymbolicLink(Path.Combine(inside, "null"), "/dev/null");
        using (var mkfifo = Process.Start("mkfifo", Path.Combine(inside, "pipe")))
        {
            mkfifo.WaitForExit();
        }

        var gate = new DirectoryGate(inside);
        var resolved = Path.Combine(inside, "base.img");
        Assert.Equal(resolved, gate.Check(Request(Path.Combine(inside, "base.img"))));
        Assert.Equal(resolved, gate.Check(Request(Path.Combine(inside, "good"))));
        Assert.Equal(resolved, gate.Check(Request(Path.Combine(inside, "sub", "..", "base.img"))));
        foreach (var name in new[] { "bad", "sub/out/secret", "round", "null", "pipe", "sub", "../secret", "../images2/x", "a\0b", "" })
        {
            Assert.False(gate.Decide(Request(Path.Combine(inside, name))).IsAllowed, name);
        }

        Assert.False(gate.Decide(Request("/etc/passwd")).IsAllowed);
        Assert.False(gate.Decide(Request(null) with { Name = "json:{}" }).IsAllowed);
        Assert.False(gate.Decide(Request(null) with { Name = "nbd://host/export" }).IsAllowed);
        Assert.True(new DirectoryGate(inside, allowNonPaths: true).Decide(Request(null) with { Name = "nbd://host/export" }).IsAllowed);
    }

    private static OpenRequest Request(string? path) =>
        new() { Kind = OpenKind.Backing, Name = path ?? "", ReferencedBy = "top.img", Path = path };
}
