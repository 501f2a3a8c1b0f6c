using System.Globalization;
using System.Text;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>A check's result as qemu-img prints it.</summary>
internal static class CheckText
{
    /// <summary>For people.</summary>
    public static string Human(CheckReport report)
    {
        var text = new StringBuilder();
        if (report is { Corruptions: 0, Leaks: 0, CheckErrors: 0 })
        {
            text.Append("No errors were found on the image.\n");
        }

        if (report.Corruptions > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n{report.Corruptions} errors were found on the image.\n");
            text.Append("Data may be corrupted, or further writes to the image may corrupt it.\n");
        }

        if (report.Leaks > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n{report.Leaks} leaked clusters were found on the image.\n");
            text.Append("This means waste of disk space, but no harm to data.\n");
        }

        if (report.CheckErrors > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n{report.CheckErrors} internal errors have occurred during the check.\n");
        }

        if (report is { TotalClusters: not 0, AllocatedClusters: not 0 })
        {
            text.Append(
                CultureInfo.InvariantCulture,
                $"{report.AllocatedClusters}/{report.TotalClusters} = {Percent(report.AllocatedClusters, report.TotalClusters)}% allocated, "
                + $"{Percent(report.FragmentedClusters, report.AllocatedClusters)}% fragmented, "
                + $"{Percent(report.CompressedClusters, report.AllocatedClusters)}% compressed clusters\n");
        }

        if (report.ImageEndOffset > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"Image end offset: {report.ImageEndOffset}\n");
        }

        return text.ToString();
    }

    /// <summary>For programs, without a line end.</summary>
    /// <param name="report">The result.</param>
    /// <param name="name">The image as the command line names it.</param>
    /// <param name="format">Its format.</param>
    /// <param name="before">What was found before a repair: then the findings are told too; null where they are not.</param>
    public static string Json(CheckReport report, string name, string format, IReadOnlyList<CheckFinding>? before = null)
    {
        var json = new JsonText();
        json.BeginObject();
        AddUnlessZero(json, "image-end-offset", report.ImageEndOffset);
        AddUnlessZero(json, "compressed-clusters", report.CompressedClusters);
        AddUnlessZero(json, "total-clusters", report.TotalClusters);
        AddUnlessZero(json, "corruptions", report.Corruptions);
        AddUnlessZero(json, "corruptions-fixed", report.CorruptionsFixed);
        json.Add("check-errors", report.CheckErrors);
        AddUnlessZero(json, "leaks", report.Leaks);
        AddUnlessZero(json, "leaks-fixed", report.LeaksFixed);
        AddUnlessZero(json, "allocated-clusters", report.AllocatedClusters);
        json.Add("filename", name);
        json.Add("format", format);
        AddUnlessZero(json, "fragmented-clusters", report.FragmentedClusters);
        if (before is not null)
        {
            AddFindings(json, "findings", report.Findings);
            AddUnlessZero(json, "findings-dropped", report.DroppedFindings);
            AddFindings(json, "findings-before-repair", before);
        }

        json.EndObject();
        return json.ToString();
    }

    /// <summary>A member of an enumeration as JSON names it: "RefcountTooLow" is "refcount-too-low".</summary>
    public static string NameOf<T>(T value)
        where T : struct, Enum
    {
        var text = new StringBuilder();
        foreach (var c in value.ToString())
        {
            text.Append(char.IsUpper(c) && text.Length > 0 ? "-" : "").Append(char.ToLowerInvariant(c));
        }

        return text.ToString();
    }

    private static void AddFindings(JsonText json, string name, IReadOnlyList<CheckFinding> findings)
    {
        json.BeginArray(name);
        foreach (var finding in findings)
        {
            json.BeginObject();
            json.Add("kind", NameOf(finding.Kind));
            json.Add("severity", NameOf(finding.Severity));
            json.Add("count", finding.Count);
            AddUnlessNull(json, "offset", finding.Offset);
            AddUnlessNull(json, "guest-offset", finding.GuestOffset);
            if (finding.Table is { } table)
            {
                json.Add("table", NameOf(table));
            }

            AddUnlessNull(json, "index", finding.Index);
            json.Add("repair", NameOf(finding.Remedy));
            json.Add("text", finding.Text);
            json.EndObject();
        }

        json.EndArray();
    }

    private static void AddUnlessNull(JsonText json, string name, long? value)
    {
        if (value is { } number)
        {
            json.Add(name, number);
        }
    }

    private static void AddUnlessZero(JsonText json, string name, long value)
    {
        if (value != 0)
        {
            json.Add(name, value);
        }
    }

    private static string Percent(long part, long whole) =>
        (part * 100.0 / whole).ToString("F2", CultureInfo.InvariantCulture);
}
