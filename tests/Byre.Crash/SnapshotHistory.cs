namespace Byre.Crash;

/// <summary>What a disk and its snapshots hold.</summary>
internal sealed class SnapshotHistory
{
    public required byte[] Disk { get; set; }

    public Dictionary<string, byte[]> Snapshots { get; private init; } = new(StringComparer.Ordinal);

    public void Keep(string name) => Snapshots[name] = (byte[])Disk.Clone();

    public void Apply(string name) => Disk = (byte[])Snapshots[name].Clone();

    public SnapshotHistory Clone() => new() { Disk = (byte[])Disk.Clone(), Snapshots = new(Snapshots, StringComparer.Ordinal) };
}
