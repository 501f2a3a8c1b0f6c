using System.Text.RegularExpressions;
using Byre.TestTools;

namespace Byre.Interop.Io;

/// <summary>
/// Every line of cases.txt is run with the real tools and with links to Byre, in folders with the same files: the same output
/// and exit status, and a word on standard error where the other has one. The sentences of errors are Byre's own.
/// </summary>
public sealed partial class IoCaseTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("byre-io-case-").FullName;

    public static TheoryData<string> Cases() =>
        [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Io", "cases.txt")).Where(line => line.Length > 0)];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Runs_as_with_the_real_tools(string line)
    {
        var theirs = await RunAsync(line, "theirs", null);
        var ours = await RunAsync(line, "ours", await ByreLinks.DirectoryAsync());
        Assert.Equal(theirs.Status, ours.Status);
        Assert.Equal(Settle(theirs.Output), Settle(ours.Output));
        Assert.True((theirs.Error.Length > 0) == (ours.Error.Length > 0), $"theirs: {theirs.Error}\nours: {ours.Error}");
        Assert.True(Lines(ours.Error) <= Math.Max(1, Lines(theirs.Error)), ours.Error);
    }

    private static int Lines(string text) => text.Count(c => c == '\n');

    private async Task<(int Status, string Output, string Error)> RunAsync(string line, string name, string? tools)
    {
        var where = Directory.CreateDirectory(Path.Combine(folder, name)).FullName;
        const string Setup = """
            qemu-img create -q -f qcow2 base.q 4M && qemu-io -f qcow2 -c 'write -q -P 1 0 1M' base.q &&
            qemu-img create -q -f qcow2 -b base.q -F qcow2 top.q && cp top.q t.q && printf abc >pat &&
            head -c 1000 /dev/zero >odd.raw && head -c 1M /dev/zero | tr '\0' Z >a.img
            """;
        await ExternalTool.RunAsync("bash", where, "-c", Setup);
        var path = tools is null ? "" : $"PATH={tools}:$PATH\n";
        return await ExternalTool.TryRunAsync("bash", where, ["-c", path + line]);
    }

    /// <summary>Takes out times, rates, the texts of help, and sentences that are each tool's own.</summary>
    private static string Settle(string output)
    {
        output = Times().Replace(output, " ops");
        output = Values().Replace(output, ",T");
        output = UsageLines().Replace(output, "$1 USAGE");
        output = Sentences().Replace(output, "SENTENCE");
        output = Compressed().Replace(output, "");
        return HelpText().Replace(output, "HELP");
    }

    [GeneratedRegex(" ops; .*")]
    private static partial Regex Times();

    [GeneratedRegex(",[0-9]+:[0-9:.]+,[0-9.]+,[0-9.]+$", RegexOptions.Multiline)]
    private static partial Regex Values();

    [GeneratedRegex(@"^([a-z_]+) [\[(a-z].* -- .*$", RegexOptions.Multiline)]
    private static partial Regex UsageLines();

    [GeneratedRegex("^(Parsing error: .*|pattern verification range .*|the range to check .*|The total number .*|The lengths together .*)$", RegexOptions.Multiline)]
    private static partial Regex Sentences();

    [GeneratedRegex(", \"compressed\": false")]
    private static partial Regex Compressed();

    [GeneratedRegex(@"Usage: qemu-io [\s\S]*")]
    private static partial Regex HelpText();
}
