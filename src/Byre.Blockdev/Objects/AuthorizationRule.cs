namespace Byre.Blockdev.Objects;

/// <summary>A rule of a list: whom it is for, and whether he may connect.</summary>
/// <param name="Match">A name, or a pattern of one.</param>
/// <param name="IsPattern">"*" stands for any characters, "?" for one.</param>
/// <param name="Allows">He may.</param>
internal sealed record AuthorizationRule(string Match, bool IsPattern, bool Allows)
{
    /// <summary>The rule is for this name.</summary>
    public bool Matches(string name) => IsPattern
        ? MatchesPattern(Match, name)
        : string.Equals(Match, name, StringComparison.Ordinal);

    /// <summary>In steps that are at most the product of the lengths, whatever the pattern.</summary>
    private static bool MatchesPattern(string pattern, string name)
    {
        var (at, inName, star, starName) = (0, 0, -1, 0);
        while (inName < name.Length)
        {
            if (at < pattern.Length && pattern[at] == '*')
            {
                (star, starName) = (at++, inName);
            }
            else if (at < pattern.Length && (pattern[at] == '?' || pattern[at] == name[inName]))
            {
                inName += pattern[at] == '?' && char.IsSurrogatePair(name, inName) ? 2 : 1;
                at++;
            }
            else if (star >= 0)
            {
                (at, inName) = (star + 1, ++starName);
            }
            else
            {
                return false;
            }
        }

        return pattern.AsSpan(at).TrimStart('*').IsEmpty;
    }
}
