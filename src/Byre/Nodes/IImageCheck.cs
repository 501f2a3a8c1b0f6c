namespace Byre.Nodes;

/// <summary>A format whose metadata can be checked, and perhaps repaired.</summary>
public interface IImageCheck
{
    /// <summary>Checks the metadata. The node must be idle.</summary>
    /// <param name="repair">What is repaired. After a repair the image must be opened anew before it is used.</param>
    /// <param name="progress">Told of the part that is done, from 0 to 1.</param>
    /// <exception cref="BlockException">Writing a repair failed. A failure to read is part of the report.</exception>
    ValueTask<CheckReport> CheckAsync(RepairMode repair, IProgress<double>? progress = null);
}
