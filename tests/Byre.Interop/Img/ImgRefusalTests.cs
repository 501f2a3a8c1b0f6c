namespace Byre.Interop.Img;

/// <summary>What a script asks wrongly, or of files that are damaged: the same exit status and output as the real tool's.</summary>
public sealed class ImgRefusalTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-refused-").FullName;

    public ImgRefusalTests()
    {
        Assert.Equal(0, Tools.Qemu(directory, "create", "-f", "qcow2", At("base"), "16M").Status);
        Tools.QemuIo(directory, At("base"), "write -P 1 0 1M");
        var bytes = File.ReadAllBytes(At("base"));
        File.WriteAllBytes(At("stub"), bytes[..60]);
        File.WriteAllBytes(At("empty"), []);
        var garbage = new byte[65536];
        garbage.AsSpan().Fill((byte)'G');
        File.WriteAllBytes(At("garbage"), garbage);
    }

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]
    [InlineData("create -f qcow2 @new")]
    [InlineData("create -f nope @new 1M")]
    [InlineData("create -f qcow2 -o nope=1 @new 1M")]
    [InlineData("create -f qcow2 @new 1Q")]
    [InlineData("create -f qcow2 -b missing -F qcow2 @new")]
    [InlineData("create -f qcow2 -b base @new")]
    [InlineData("create -f qcow2 @nodir/new 1M")]
    [InlineData("convert")]
    [InlineData("convert -O raw")]
    [InlineData("convert -O nope @base @new")]
    [InlineData("convert -f nope -O raw @base @new")]
    [InlineData("convert -O raw @missing @new")]
    [InlineData("convert -n -O raw @base @new")]
    [InlineData("convert -f qcow2 -O raw @garbage @new")]
    [InlineData("compare @base")]
    [InlineData("compare @base @missing")]
    [InlineData("resize @base bad")]
    [InlineData("resize @base 1M")]
    [InlineData("resize @missing 1M")]
    [InlineData("resize @base")]
    [InlineData("info")]
    [InlineData("info @base @base @base")]
    [InlineData("info --output=xml @base")]
    [InlineData("info --bogus @base")]
    [InlineData("info @missing")]
    [InlineData("info -f qcow2 @garbage")]
    [InlineData("info -f qcow2 @stub")]
    [InlineData("info -f qcow2 @empty")]
    [InlineData("info @")]
    [InlineData("check @missing")]
    [InlineData("check -r bogus @base")]
    [InlineData("check -f qcow2 @garbage")]
    [InlineData("check @garbage")]
    [InlineData("map @missing")]
    [InlineData("measure")]
    [InlineData("measure --size 1G @base")]
    public async Task A_refusal_has_the_same_status_and_output(string line)
    {
        var words = line.Split(' ').Select(word => word.StartsWith('@') ? At(word[1..]) : word).ToArray();
        var theirs = Tools.Qemu(directory, words);
        var ours = await Tools.ByreAsync(words);
        Assert.True(theirs.Status == ours.Status, $"{theirs.Status} {theirs.Errors} / {ours.Status} {ours.Errors}");
        Assert.Equal(theirs.Output, ours.Output);
        Assert.Equal(theirs.Errors.Length > 0, ours.Errors.Length > 0);
        Assert.False(File.Exists(At("new")) && !line.StartsWith("create -f qcow2 -b base", StringComparison.Ordinal), "a target stayed");
    }

    private string At(string name) => Path.Combine(directory, name);
}
