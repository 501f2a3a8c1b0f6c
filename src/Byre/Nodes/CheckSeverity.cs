namespace Byre.Nodes;

/// <summary>How bad a finding of a check is. The names are stable: programs see them.</summary>
public enum CheckSeverity
{
    /// <summary>Nothing is wrong, or it is counted elsewhere.</summary>
    Note,

    /// <summary>Only space is lost.</summary>
    Leak,

    /// <summary>Something contradicts the format: data may be lost, or will be when the image is written.</summary>
    Corruption,

    /// <summary>Something could not be checked.</summary>
    Error,
}
