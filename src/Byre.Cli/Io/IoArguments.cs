using System.Diagnostics.CodeAnalysis;

namespace Byre.Cli.Io;

/// <summary>
/// A command's words, parted into options and operands as getopt does it: options may stand anywhere, one letter each,
/// several behind one dash, a value in the same word or the next; "--" ends them.
/// </summary>
internal sealed class IoArguments
{
    private readonly List<(char Letter, string? Value)> options = [];
    private readonly List<string> operands = [];

    private IoArguments(string command) => Command = command;

    /// <summary>The command as it was called.</summary>
    public string Command { get; }

    /// <summary>The options in their order.</summary>
    public IReadOnlyList<(char Letter, string? Value)> Options => options;

    /// <summary>The other words.</summary>
    public IReadOnlyList<string> Operands => operands;

    /// <summary>The option was given.</summary>
    public bool Has(char letter) => options.Exists(o => o.Letter == letter);

    /// <summary>The last value of an option, or null.</summary>
    public string? Value(char letter) => options.FindLast(o => o.Letter == letter).Value;

    /// <summary>Parts the words.</summary>
    /// <param name="words">The command and what follows it.</param>
    /// <param name="spec">The letters allowed, a colon behind those that take a value.</param>
    /// <param name="arguments">The result.</param>
    /// <param name="error">What is wrong.</param>
    public static bool TryParse(
        IReadOnlyList<string> words,
        string spec,
        [NotNullWhen(true)] out IoArguments? arguments,
        [NotNullWhen(false)] out string? error)
    {
        var result = new IoArguments(words[0]);
        arguments = null;
        for (var i = 1; i < words.Count; i++)
        {
            var word = words[i];
            if (string.Equals(word, "--", StringComparison.Ordinal))
            {
                result.operands.AddRange(words.Skip(i + 1));
                break;
            }

            if (word.Length < 2 || word[0] != '-')
            {
                result.operands.Add(word);
                continue;
            }

            for (var at = 1; at < word.Length; at++)
            {
                var letter = word[at];
                var known = letter == ':' ? -1 : spec.IndexOf(letter, StringComparison.Ordinal);
                if (known < 0)
                {
                    error = $"{words[0]}: invalid option -- '{letter}'";
                    return false;
                }

                if (known + 1 == spec.Length || spec[known + 1] != ':')
                {
                    result.options.Add((letter, null));
                    continue;
                }

                if (at + 1 == word.Length && i + 1 == words.Count)
                {
                    error = $"{words[0]}: option requires an argument -- '{letter}'";
                    return false;
                }

                result.options.Add((letter, at + 1 < word.Length ? word[(at + 1)..] : words[++i]));
                break;
            }
        }

        arguments = result;
        error = null;
        return true;
    }
}
