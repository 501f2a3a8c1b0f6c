using System.Globalization;
using Byre.Nodes;

namespace Byre.Blockdev.Objects;

/// <summary>The first rule that is for a name decides (authz-list).</summary>
internal sealed class ListAuthorization(IReadOnlyList<AuthorizationRule> rules, bool allowsOthers) : IAuthorization
{
    /// <summary>Reads it from options: "policy", and "rules.N.match", "rules.N.policy", "rules.N.format" with N from 0.</summary>
    public static ListAuthorization Read(ObjectOptions options)
    {
        var list = Read(options.Take("policy"), options.TakeBelow("rules"), options.Invalid);
        options.CheckEmpty();
        return list;
    }

    /// <summary>Reads a list.</summary>
    /// <param name="policy">What holds for those whom no rule is for: "allow", or "deny" (also null).</param>
    /// <param name="rules">"N.match", "N.policy" and "N.format" with N from 0.</param>
    /// <param name="invalid">Makes a failure.</param>
    public static ListAuthorization Read(string? policy, Dictionary<string, string> rules, Func<string, BlockException> invalid)
    {
        var read = new List<AuthorizationRule>();
        for (var i = 0; rules.Count > 0; i++)
        {
            var number = i.ToString(CultureInfo.InvariantCulture);
            var match = Take("match") ?? throw invalid($"rule {number} must say whom it matches (rules.{number}.match)");
            var allows = Allows(Take("policy") ?? throw invalid($"rule {number} must say 'allow' or 'deny' (rules.{number}.policy)"));
            var isPattern = Take("format") switch
            {
                null or "exact" => false,
                "glob" => true,
                var other => throw invalid($"the format of rule {number} is exact or glob, not '{other}'"),
            };
            read.Add(new AuthorizationRule(match, isPattern, allows));

            string? Take(string key) => rules.Remove($"{number}.{key}", out var value) ? value : null;
        }

        return new ListAuthorization(read, policy is not null && Allows(policy));

        bool Allows(string word) => word switch
        {
            "allow" => true,
            "deny" => false,
            _ => throw invalid($"a policy is allow or deny, not '{word}'"),
        };
    }

    /// <inheritdoc/>
    public bool Allows(string name)
    {
        foreach (var rule in rules)
        {
            if (rule.Matches(name))
            {
                return rule.Allows;
            }
        }

        return allowsOthers;
    }
}
