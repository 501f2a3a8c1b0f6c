namespace Byre.Nodes;

/// <summary>A node that can know, without looking, that all of it reads as zeroes.</summary>
public interface IKnownZero
{
    /// <summary>True only if every byte reads as zero now. False means "not known".</summary>
    bool IsKnownZero { get; }
}
