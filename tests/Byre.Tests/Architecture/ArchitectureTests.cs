using System.Reflection;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Byre.Nodes;

namespace Byre.Tests.Architecture;

/// <summary>The arrows of ARCHITECTURE.md: who may know whom, and how large a file may grow.</summary>
public partial class ArchitectureTests
{
    private const int LongestFile = 450;

    private static readonly string Root = FindRoot();

    private static readonly string[] BufferPool = ["Byre.Storage.BufferPool", "Byre.Storage.PooledBuffer"];

    private static readonly string Engine = typeof(BlockEdge).Assembly.Location;

    /// <summary>What each project may refer to, of the house's own; what is not listed may refer to nothing.</summary>
    private static readonly Dictionary<string, string[]> MayRefer = new(StringComparer.Ordinal)
    {
        ["Byre"] = [],
        ["Byre.Nbd"] = ["Byre"],
        ["Byre.Blockdev"] = ["Byre", "Byre.Nbd"],
        ["Byre.Daemon"] = ["Byre", "Byre.Nbd", "Byre.Blockdev"],
        ["Byre.ImageIo"] = ["Byre", "Byre.Nbd", "Byre.Blockdev"],
        ["Byre.Cli"] = ["Byre", "Byre.Nbd", "Byre.Blockdev", "Byre.Daemon", "Byre.ImageIo"],
    };

    [Fact]
    public void Projects_refer_only_downwards()
    {
        var projects = Directory.GetFiles(Path.Combine(Root, "src"), "*.csproj", SearchOption.AllDirectories);
        Assert.NotEmpty(projects);
        var wrong = from project in projects
                    let name = Path.GetFileNameWithoutExtension(project)
                    from reference in XDocument.Load(project).Descendants("ProjectReference")
                    let target = Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value.Replace('\\', '/'))
                    where !MayRefer.GetValueOrDefault(name, []).Contains(target)
                    select $"{name} -> {target}";
        Assert.Empty(wrong);
    }

    [Fact]
    public void Assemblies_refer_only_downwards()
    {
        var found = 0;
        foreach (var (name, allowed) in MayRefer)
        {
            var path = Path.Combine(AppContext.BaseDirectory, name + ".dll");
            if (File.Exists(path))
            {
                found++;
                var own = AssemblyUses.References(path).Where(reference => reference.StartsWith("Byre", StringComparison.Ordinal));
                Assert.Empty(own.Except(allowed).Select(reference => $"{name} -> {reference}"));
            }
        }

        Assert.True(found >= 4, "the tests' directory holds the product's assemblies");
    }

    /// <summary>The engine knows no JSON, no console, no sockets and no logging sink.</summary>
    [Fact]
    public void The_engine_stands_on_the_base_library_alone()
    {
        var wrong = AssemblyUses.References(Engine).Where(name =>
            !name.StartsWith("System.", StringComparison.Ordinal)
            || name is "System.Console" or "System.CommandLine"
            || name.StartsWith("System.Text.Json", StringComparison.Ordinal)
            || name.StartsWith("System.Net.", StringComparison.Ordinal)
            || name.StartsWith("System.Diagnostics.TraceSource", StringComparison.Ordinal));
        Assert.Empty(wrong);
        var named = AssemblyUses.Read(Engine).Uses.Where(use =>
            use.To.StartsWith("System.Text.Json.", StringComparison.Ordinal)
            || use.To.StartsWith("System.Net.", StringComparison.Ordinal)
            || use.To.StartsWith("Microsoft.Extensions.", StringComparison.Ordinal)
            || use.To == "System.Console");
        Assert.Empty(named);
    }

    /// <summary>
    /// A format gets opened edges and typed options: it knows neither the graph nor jobs. The one exception is
    /// DefaultPermissions, which lives in Graph: the pure table of what each kind of node asks of its children.
    /// </summary>
    [Fact]
    public void Formats_know_neither_the_graph_nor_jobs() => AssertNoUse(
        "Byre.Formats", ["Byre.Graph", "Byre.Jobs"], allowed: ["Byre.Graph.DefaultPermissions"]);

    [Fact]
    public void Jobs_name_no_format() => AssertNoUse("Byre.Jobs", ["Byre.Formats"], allowed: []);

    [Fact]
    public void Filters_name_no_format() => AssertNoUse("Byre.Filters", ["Byre.Formats"], allowed: []);

    /// <summary>Jobs, formats and filters stand beside one another, and reach files through edges: of Storage they use the pool of buffers only.</summary>
    [Theory]
    [InlineData("Byre.Jobs", "Byre.Filters")]
    [InlineData("Byre.Formats", "Byre.Filters")]
    [InlineData("Byre.Filters", "Byre.Jobs")]
    public void Neighbours_do_not_know_one_another(string room, params string[] neighbours) =>
        AssertNoUse(room, [.. neighbours, "Byre.Storage"], BufferPool);

    [Theory]
    [InlineData("Byre.Formats.Raw", "Byre.Formats.Qcow2")]
    [InlineData("Byre.Formats.Qcow2", "Byre.Formats.Raw")]
    [InlineData("Byre.Formats.Luks", "Byre.Formats.Qcow2")]
    public void A_format_knows_no_other_format(string format, string other) => AssertNoUse(format, [other], allowed: []);

    /// <summary>The rooms of qcow2, from the bytes up: Layout, Metadata, Data, Manage. Layout does no I/O.</summary>
    [Theory]
    [InlineData("Layout", "Metadata", "Data", "Manage")]
    [InlineData("Metadata", "Data", "Manage")]
    [InlineData("Data", "Manage")]
    public void The_rooms_of_qcow2_know_only_those_below(string room, params string[] above) => AssertNoUse(
        "Byre.Formats.Qcow2." + room, [.. above.Select(name => "Byre.Formats.Qcow2." + name)], allowed: []);

    /// <summary>Crypto is bytes and keys: of the ground it has only the failures that it throws.</summary>
    [Fact]
    public void Crypto_knows_no_nodes() => AssertNoUse(
        "Byre.Crypto",
        ["Byre.Nodes", "Byre.Graph", "Byre.Requests", "Byre.Storage", "Byre.Formats", "Byre.Filters", "Byre.Jobs", "Byre.Bitmaps"],
        allowed: ["Byre.Nodes.BlockException", "Byre.Nodes.ErrorCode"]);

    [Fact]
    public void The_layout_of_qcow2_does_no_input_or_output()
    {
        var wrong = AssemblyUses.Read(Engine).Uses
            .Where(use => use.From.StartsWith("Byre.Formats.Qcow2.Layout.", StringComparison.Ordinal))
            .Where(use => use.To is "Byre.Nodes.BlockEdge" or "Byre.Nodes.BlockNode"
                || use.To.StartsWith("Byre.Storage.", StringComparison.Ordinal)
                || use.To.StartsWith("System.IO.", StringComparison.Ordinal)
                || use.To.StartsWith("System.Threading.Tasks.", StringComparison.Ordinal));
        Assert.Empty(wrong);
    }

    /// <summary>Pure bytes: everything but the base library is out of reach of the protocol's room.</summary>
    [Fact]
    public void The_protocol_imports_the_base_library_alone()
    {
        const string room = "Byre.Nbd.Protocol.";
        var path = Path.Combine(AppContext.BaseDirectory, "Byre.Nbd.dll");
        var wrong = AssemblyUses.Read(path).Uses
            .Where(use => use.From.StartsWith(room, StringComparison.Ordinal))
            .Where(use => !use.To.StartsWith(room, StringComparison.Ordinal) && !use.To.StartsWith("System.", StringComparison.Ordinal));
        Assert.Empty(wrong);
    }

    /// <summary>Server and client know the protocol and the sockets, and not each other; sockets know no messages.</summary>
    [Theory]
    [InlineData("Byre.Nbd.Server", "Byre.Nbd.Client", "Byre.Nbd.Tls")]
    [InlineData("Byre.Nbd.Client", "Byre.Nbd.Server", "Byre.Nbd.Tls")]
    [InlineData("Byre.Nbd.Tls", "Byre.Nbd.Server", "Byre.Nbd.Client")]
    [InlineData("Byre.Nbd.Transport", "Byre.Nbd.Protocol", "Byre.Nbd.Server", "Byre.Nbd.Client", "Byre.Nbd.Tls")]
    public void The_rooms_of_NBD_stand_apart(string room, params string[] banned) =>
        AssertNoUse(Path.Combine(AppContext.BaseDirectory, "Byre.Nbd.dll"), room, banned, allowed: []);

    /// <summary>A static field is a constant: set once, when its type is first used.</summary>
    [Theory]
    [InlineData("Byre")]
    [InlineData("Byre.Nbd")]
    [InlineData("Byre.Blockdev")]
    public void No_static_has_state(string assembly)
    {
        var wrong = from type in Assembly.Load(assembly).GetTypes()
                    where !type.Name.Contains('<', StringComparison.Ordinal)
                    from field in type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
                    where !field.IsInitOnly && !field.IsLiteral && !field.Name.Contains('<', StringComparison.Ordinal)
                    select $"{type.FullName}.{field.Name}";
        Assert.Empty(wrong);
    }

    [Fact]
    public void Storage_knows_nothing_that_stands_beside_or_above_it() => AssertNoUse(
        "Byre.Storage", ["Byre.Formats", "Byre.Filters", "Byre.Jobs"], allowed: []);

    /// <summary>Nodes, Graph, Requests and Bitmaps are the ground; of Storage they may use the pool of buffers only.</summary>
    [Theory]
    [InlineData("Byre.Nodes")]
    [InlineData("Byre.Graph")]
    [InlineData("Byre.Requests")]
    [InlineData("Byre.Bitmaps")]
    public void The_ground_knows_no_driver(string room) => AssertNoUse(
        room,
        ["Byre.Formats", "Byre.Filters", "Byre.Jobs", "Byre.Storage"],
        BufferPool);

    [Fact]
    public void A_file_declares_one_public_type()
    {
        var wrong = from file in Sources("src")
                    let types = PublicType().Matches(File.ReadAllText(file)).Select(match => match.Groups["name"].Value).Distinct().ToList()
                    where types.Count > 1
                    select $"{Path.GetRelativePath(Root, file)}: {string.Join(", ", types)}";
        Assert.Empty(wrong);
    }

    [Fact]
    public void A_file_is_read_in_one_sitting()
    {
        var files = Sources("src").Concat(Sources("tests")).ToList();
        Assert.NotEmpty(files);
        var wrong = from file in files
                    let lines = File.ReadLines(file).Count()
                    where lines >= LongestFile
                    select $"{Path.GetRelativePath(Root, file)}: {lines} lines";
        Assert.Empty(wrong);
    }

    private static void AssertNoUse(string room, string[] banned, string[] allowed) => AssertNoUse(Engine, room, banned, allowed);

    private static void AssertNoUse(string assembly, string room, string[] banned, string[] allowed)
    {
        static bool IsIn(string type, string space) => type.StartsWith(space + ".", StringComparison.Ordinal);
        var wrong = AssemblyUses.Read(assembly).Uses
            .Where(use => IsIn(use.From, room) && banned.Any(space => IsIn(use.To, space)) && !allowed.Contains(use.To))
            .Select(use => $"{use.From} -> {use.To}")
            .Order(StringComparer.Ordinal);
        Assert.Empty(wrong);
    }

    private static IEnumerable<string> Sources(string folder) =>
        Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories)
            .Where(path => !path.Contains("/obj/", StringComparison.Ordinal) && !path.Contains("/bin/", StringComparison.Ordinal));

    private static string FindRoot()
    {
        for (var folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (File.Exists(Path.Combine(folder, "Byre.slnx")))
            {
                return folder;
            }
        }

        throw new InvalidOperationException("the tests do not run inside the solution's folder");
    }

    /// <summary>A public type at the file's outermost level: file-scoped namespaces leave it without indentation.</summary>
    [GeneratedRegex(@"^public\s+(?:(?:sealed|static|abstract|readonly|ref|partial|unsafe|new)\s+)*(?:record\s+struct|record\s+class|record|class|struct|interface|enum|delegate\s+\S+)\s+(?<name>\w+)", RegexOptions.Multiline)]
    private static partial Regex PublicType();
}
