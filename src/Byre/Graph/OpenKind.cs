namespace Byre.Graph;

/// <summary>As what an image names something else.</summary>
public enum OpenKind
{
    /// <summary>Its backing file.</summary>
    Backing,

    /// <summary>Its external data file.</summary>
    DataFile,
}
