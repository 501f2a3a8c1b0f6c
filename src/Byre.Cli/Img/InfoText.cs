using System.Globalization;
using System.Text;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;

namespace Byre.Cli.Img;

/// <summary>Reports for people, to the letter as qemu-img prints them.</summary>
internal static class InfoText
{
    private const int Indent = 4;

    /// <summary>The report of an image and of the nodes below it.</summary>
    public static string Of(ImageReport report)
    {
        var text = new StringBuilder();
        Add(text, report, 0, "/");
        return text.ToString();
    }

    /// <summary>What is special to a qcow2 image, as the lines of a report.</summary>
    public static string Specific(Qcow2Header header, LuksHeader? luks, IReadOnlyList<Qcow2BitmapInfo> bitmaps)
    {
        var text = new StringBuilder("Format specific information:\n");
        Qcow2Facts.Tell(header, luks, bitmaps, new TextFacts(text, 1));
        return text.ToString();
    }

    /// <summary>What is special to a LUKS volume, as the lines of a report.</summary>
    public static string Specific(LuksHeader header)
    {
        var text = new StringBuilder("Format specific information:\n");
        LuksFacts.Tell(header, isInImage: false, new TextFacts(text, 1));
        return text.ToString();
    }

    private static void Add(StringBuilder text, ImageReport report, int level, string path)
    {
        var isProtocol = report.Children.Count == 0 && level > 0;
        Line(text, level, isProtocol ? "filename" : "image", report.FileName);
        Line(text, level, isProtocol ? "protocol type" : "file format", report.Format);
        Line(text, level, isProtocol ? "file length" : "virtual size", $"{HumanSize.Of(report.Length)} ({report.Length} bytes)");
        Line(text, level, "disk size", report.Occupied is { } occupied ? HumanSize.Of(occupied) : "unavailable");
        if (report.IsEncrypted)
        {
            Line(text, level, "encrypted", "yes");
        }

        if (report.Header is { } header)
        {
            AddHeader(text, report, header, level);
        }
        else if (report.Luks is { } luks)
        {
            text.Append(' ', level * Indent).Append("Format specific information:\n");
            LuksFacts.Tell(luks, isInImage: false, new TextFacts(text, level + 1));
        }

        foreach (var (name, child) in report.Children)
        {
            var childPath = path.Length == 1 ? path + name : $"{path}/{name}";
            text.Append(' ', level * Indent).Append(CultureInfo.InvariantCulture, $"Child node '{childPath}':\n");
            Add(text, child, level + 1, childPath);
        }
    }

    private static void AddHeader(StringBuilder text, ImageReport report, Qcow2Header header, int level)
    {
        Line(text, level, "cluster_size", header.ClusterSize.ToString(CultureInfo.InvariantCulture));
        if ((header.Incompatible & IncompatibleFeatures.Dirty) != 0)
        {
            Line(text, level, "cleanly shut down", "no");
        }

        if (header.BackingFile is { } backing)
        {
            Line(text, level, "backing file", backing + (report.FullBackingName is not { } full ? " (cannot determine actual path)"
                : full == backing ? "" : $" (actual path: {full})"));
            if (header.BackingFormat is { } format)
            {
                Line(text, level, "backing file format", format);
            }
        }

        SnapshotText.Add(text, report.Snapshots, level * Indent);
        text.Append(' ', level * Indent).Append("Format specific information:\n");
        Qcow2Facts.Tell(header, report.Luks, report.Bitmaps, new TextFacts(text, level + 1));
    }

    private static void Line(StringBuilder text, int level, string name, string value) =>
        text.Append(' ', level * Indent).Append(name).Append(": ").Append(PlainText.LineOf(value)).Append('\n');

    private sealed class TextFacts(StringBuilder text, int level) : IFacts
    {
        private int depth = level;

        public void Add(string name, string value) => Line(text, depth, Words(name), value);

        public void Add(string name, bool value) => Add(name, value ? "true" : "false");

        public void Add(string name, long value) => Add(name, value.ToString(CultureInfo.InvariantCulture));

        public void Begin(string name) => Open(Words(name));

        public void End() => depth--;

        public void BeginList(string name) => Open(Words(name));

        public void BeginItem(int index) => Open($"[{index}]");

        public void EndItem() => depth--;

        public void AddItem(int index, string value) => Line(text, depth, $"[{index}]", value);

        public void EndList() => depth--;

        private static string Words(string name) => name.Replace('-', ' ');

        private void Open(string name) => text.Append(' ', depth++ * Indent).Append(name).Append(":\n");
    }
}
