namespace Byre.Nodes;

/// <summary>Says which of an image's internal snapshots is meant: by id, by name, or by both.</summary>
/// <param name="Id">Its id, or null for any.</param>
/// <param name="Name">Its name, or null for any; of several the first in the image is meant.</param>
public sealed record SnapshotSelector(string? Id, string? Name)
{
    /// <summary>A text that is an id, or where no snapshot has that id a name.</summary>
    public string? IdOrName { get; private init; }

    /// <summary>The snapshot whose id is a text, or where there is none the first whose name it is.</summary>
    public static SnapshotSelector Of(string idOrName) => new(null, null) { IdOrName = idOrName };

    /// <summary>Where the snapshot is in a list, or -1.</summary>
    public int IndexIn(IReadOnlyList<SnapshotInfo> snapshots)
    {
        ArgumentNullException.ThrowIfNull(snapshots);
        if (IdOrName is { } text)
        {
            var byId = Find(snapshots, text, null);
            return byId >= 0 ? byId : Find(snapshots, null, text);
        }

        return Id is null && Name is null ? -1 : Find(snapshots, Id, Name);
    }

    /// <summary>As messages name it.</summary>
    public override string ToString() => IdOrName is not null ? $"'{IdOrName}'"
        : Name is null ? $"with the id '{Id}'"
        : Id is null ? $"'{Name}'"
        : $"'{Name}' with the id '{Id}'";

    private static int Find(IReadOnlyList<SnapshotInfo> snapshots, string? id, string? name)
    {
        for (var i = 0; i < snapshots.Count; i++)
        {
            if ((id is null || snapshots[i].Id == id) && (name is null || snapshots[i].Name == name))
            {
                return i;
            }
        }

        return -1;
    }
}
