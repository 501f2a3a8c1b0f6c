namespace Byre.Nodes;

/// <summary>How hard a node looks before it answers.</summary>
public enum ExtentPrecision
{
    /// <summary>The layer's own tables only.</summary>
    Layer,

    /// <summary>Also asks the file below whether data is a hole there, and so reads as zero.</summary>
    Exact,
}
