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
    public static string Json(CheckReport report, string name, string format)
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
        json.EndObject();
        return json.ToString();
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
