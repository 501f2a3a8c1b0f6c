using Byre.Formats.Qcow2.Layout;

namespace Byre.Cli.Img;

/// <summary>Reports in JSON, members in the order in which qemu-img prints them.</summary>
internal static class InfoJson
{
    private const ulong NanosecondsPerSecond = 1_000_000_000;

    /// <summary>Adds a report.</summary>
    public static void Add(JsonText json, string? name, ImageReport report)
    {
        json.BeginObject(name);
        json.BeginArray("children");
        foreach (var (childName, child) in report.Children)
        {
            json.BeginObject();
            json.Add("name", childName);
            Add(json, "info", child);
            json.EndObject();
        }

        json.EndArray();
        var header = report.Header;
        if (header is { BackingFile: not null, BackingFormat: { } backingFormat })
        {
            json.Add("backing-filename-format", backingFormat);
        }

        AddSnapshots(json, report);
        json.Add("virtual-size", report.Length);
        json.Add("filename", report.FileName);
        if (header is not null)
        {
            json.Add("cluster-size", header.ClusterSize);
        }

        json.Add("format", report.Format);
        if (report.Occupied is { } occupied)
        {
            json.Add("actual-size", occupied);
        }

        AddSpecific(json, report);
        if (report.FullBackingName is { } full)
        {
            json.Add("full-backing-filename", full);
        }

        if (header?.BackingFile is { } backing)
        {
            json.Add("backing-filename", backing);
        }

        if (report.IsEncrypted)
        {
            json.Add("encrypted", true);
        }

        if (report.TellsOfDirt)
        {
            json.Add("dirty-flag", header is not null && (header.Incompatible & IncompatibleFeatures.Dirty) != 0);
        }

        json.EndObject();
    }

    private static void AddSnapshots(JsonText json, ImageReport report)
    {
        if (report.Snapshots.Count == 0)
        {
            return;
        }

        json.BeginArray("snapshots");
        foreach (var snapshot in report.Snapshots)
        {
            json.BeginObject();
            if (snapshot.Icount is { } icount)
            {
                json.Add("icount", icount);
            }

            json.Add("vm-clock-nsec", snapshot.VmClockNanoseconds % NanosecondsPerSecond);
            json.Add("name", snapshot.Name);
            json.Add("date-sec", snapshot.DateSeconds);
            json.Add("date-nsec", snapshot.DateNanoseconds);
            json.Add("vm-clock-sec", snapshot.VmClockNanoseconds / NanosecondsPerSecond);
            json.Add("id", snapshot.Id);
            json.Add("vm-state-size", snapshot.VmStateSize);
            json.EndObject();
        }

        json.EndArray();
    }

    private static void AddSpecific(JsonText json, ImageReport report)
    {
        if (report.Header is null && report.Luks is null && report.Format != "file")
        {
            return;
        }

        json.BeginObject("format-specific");
        json.Add("type", report.Format);
        json.BeginObject("data");
        if (report.Header is { } header)
        {
            Qcow2Facts.Tell(header, report.Luks, report.Bitmaps, new JsonFacts(json));
        }
        else if (report.Luks is { } luks)
        {
            LuksFacts.Tell(luks, isInImage: false, new JsonFacts(json));
        }

        json.EndObject();
        json.EndObject();
    }

    private sealed class JsonFacts(JsonText json) : IFacts
    {
        public void Add(string name, string value) => json.Add(name, value);

        public void Add(string name, bool value) => json.Add(name, value);

        public void Add(string name, long value) => json.Add(name, value);

        public void Begin(string name) => json.BeginObject(name);

        public void End() => json.EndObject();

        public void BeginList(string name) => json.BeginArray(name);

        public void BeginItem(int index) => json.BeginObject();

        public void EndItem() => json.EndObject();

        public void AddItem(int index, string value) => json.Add(null, value);

        public void EndList() => json.EndArray();
    }
}
