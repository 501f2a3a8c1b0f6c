namespace Byre.Nodes;

/// <summary>How a kernel-side copy may be done.</summary>
public enum CopyRangeMode
{
    /// <summary>Only by sharing blocks (FICLONERANGE).</summary>
    ReflinkOnly,

    /// <summary>By sharing blocks, else by copy_file_range.</summary>
    Any,
}
