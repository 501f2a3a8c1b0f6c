namespace Byre.Graph;

/// <summary>An image names something, and somebody wants to open it.</summary>
public sealed record OpenRequest
{
    /// <summary>As what it is named.</summary>
    public required OpenKind Kind { get; init; }

    /// <summary>The name as the image says it: a path, a URI, or "json:...".</summary>
    public required string Name { get; init; }

    /// <summary>The format that the image says it has, or null.</summary>
    public string? Format { get; init; }

    /// <summary>The file name of the image that names it.</summary>
    public required string ReferencedBy { get; init; }

    /// <summary>
    /// The path that would be opened: the name, taken relative to the directory of the image. Null for names that are no
    /// paths (URIs, "json:").
    /// </summary>
    public string? Path { get; init; }
}
