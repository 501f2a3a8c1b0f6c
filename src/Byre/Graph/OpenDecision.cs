namespace Byre.Graph;

/// <summary>What a gate says.</summary>
/// <param name="IsAllowed">It may be opened.</param>
/// <param name="Reason">Why not, as a clause for a person; null where it may.</param>
/// <param name="Path">The path to open where it is another one than asked for (its symlinks resolved), or null.</param>
public readonly record struct OpenDecision(bool IsAllowed, string? Reason, string? Path = null)
{
    /// <summary>It may be opened as asked.</summary>
    public static OpenDecision Allow() => new(true, null);

    /// <summary>It may be opened, by this path.</summary>
    public static OpenDecision AllowAs(string path) => new(true, null, path);

    /// <summary>It may not be opened.</summary>
    public static OpenDecision Deny(string reason) => new(false, reason);
}
