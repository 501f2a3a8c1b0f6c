using System.Text.Json;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;
using Byre.Graph;
using Byre.Nodes;
using Byre.Storage;

namespace Byre.Interop.Check;

/// <summary>What a check of an image ends with, whoever did it; a failed check has no counts.</summary>
internal sealed record Outcome(
    int Status, long Corruptions, long Leaks, long CheckErrors, long End, long Total, long Allocated, long Fragmented, long Compressed)
{
    public static Outcome Failed { get; } = new(1, 0, 0, 0, 0, 0, 0, 0, 0);

    /// <summary>Checks, and perhaps repairs, with a qemu-img.</summary>
    public static (Outcome Outcome, string Text) OfQemu(string program, string path, params string[] options)
    {
        var (status, output, errors) = QemuImg.Run(program, ["check", "--output=json", .. options, path]);
        var start = output.IndexOf('{', StringComparison.Ordinal);
        if (start < 0)
        {
            return (Failed, output + errors);
        }

        using var json = JsonDocument.Parse(output[start..]);
        long Of(string name) => json.RootElement.TryGetProperty(name, out var value) ? value.GetInt64() : 0;
        return (new(status, Of("corruptions"), Of("leaks"), Of("check-errors"), Of("image-end-offset"), Of("total-clusters"),
            Of("allocated-clusters"), Of("fragmented-clusters"), Of("compressed-clusters")), errors);
    }

    /// <summary>Checks, and perhaps repairs, with Byre.</summary>
    public static async Task<(Outcome Outcome, string Text)> OfByreAsync(string path, RepairMode repair = RepairMode.None)
    {
        var write = repair != RepairMode.None;
        await using var edge = new BlockEdge(
            FileNode.Open(new FileNodeOptions { Path = path, ReadOnly = !write }), ChildRole.Metadata | ChildRole.Primary,
            write ? DefaultPermissions.Writer : DefaultPermissions.Reader, "file");
        try
        {
            var header = await Qcow2HeaderReader.ReadAsync(edge, forCheck: true);
            var report = await Qcow2Checker.CheckAsync(edge, header, header.HasDataFile, repair);
            return (Of(report), string.Join('\n', report.Findings.Select(f => f.ToString()).Append(report.Aborted ?? "")));
        }
        catch (BlockException e)
        {
            return (Failed, e.Message);
        }
    }

    private static Outcome Of(CheckReport r)
    {
        if (r.Aborted is not null)
        {
            return Failed;
        }

        var status = r.CheckErrors > 0 ? 1 : r.Corruptions > 0 ? 2 : r.Leaks > 0 ? 3 : 0;
        return new(status, r.Corruptions, r.Leaks, r.CheckErrors, r.ImageEndOffset, r.TotalClusters, r.AllocatedClusters,
            r.FragmentedClusters, r.CompressedClusters);
    }
}
