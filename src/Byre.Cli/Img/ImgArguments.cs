namespace Byre.Cli.Img;

/// <summary>
/// A verb's words, parted into options and operands as getopt_long does it for qemu-img: options may stand anywhere,
/// several letters behind one dash, a value in the same word or the next, long names cut short as long as they are clear;
/// "--" ends the options.
/// </summary>
internal sealed class ImgArguments
{
    private readonly List<(string Name, string? Value)> options = [];
    private readonly List<string> operands = [];

    private ImgArguments()
    {
    }

    /// <summary>The words that are no options.</summary>
    public IReadOnlyList<string> Operands => operands;

    /// <summary>The options in their order.</summary>
    public IReadOnlyList<(string Name, string? Value)> Options => options;

    /// <summary>Parts the words.</summary>
    /// <param name="words">What follows the verb.</param>
    /// <param name="specs">The verb's options.</param>
    /// <exception cref="ImgUsageException">An option is unknown, unclear, or lacks its value or has one too many.</exception>
    public static ImgArguments Parse(IReadOnlyList<string> words, ReadOnlySpan<ImgSpec> specs)
    {
        var result = new ImgArguments();
        for (var i = 0; i < words.Count; i++)
        {
            var word = words[i];
            if (word == "--")
            {
                for (i++; i < words.Count; i++)
                {
                    result.operands.Add(words[i]);
                }
            }
            else if (word.StartsWith("--", StringComparison.Ordinal))
            {
                result.AddLong(word, words, specs, ref i);
            }
            else if (word.Length > 1 && word[0] == '-')
            {
                result.AddLetters(word, words, specs, ref i);
            }
            else
            {
                result.operands.Add(word);
            }
        }

        return result;
    }

    /// <summary>The option was given.</summary>
    public bool Has(string name)
    {
        foreach (var option in options)
        {
            if (option.Name == name)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The last value of an option, or null.</summary>
    public string? Value(string name)
    {
        for (var i = options.Count - 1; i >= 0; i--)
        {
            if (options[i].Name == name)
            {
                return options[i].Value;
            }
        }

        return null;
    }

    /// <summary>All values of an option, in their order.</summary>
    public List<string> Values(string name)
    {
        var values = new List<string>();
        foreach (var option in options)
        {
            if (option.Name == name && option.Value is not null)
            {
                values.Add(option.Value);
            }
        }

        return values;
    }

    private void AddLong(string word, IReadOnlyList<string> words, ReadOnlySpan<ImgSpec> specs, ref int at)
    {
        var equals = word.IndexOf('=', StringComparison.Ordinal);
        var name = equals < 0 ? word[2..] : word[2..equals];
        var spec = FindLong(name, specs);
        var value = equals < 0 ? null : word[(equals + 1)..];
        switch (spec.Value)
        {
            case ImgValue.None when value is not null:
                throw new ImgUsageException($"option '--{spec.Name}' takes no value");
            case ImgValue.Required when value is null:
                value = Next(words, ref at, $"--{spec.Name}");
                break;
        }

        options.Add((spec.Name, value));
    }

    private void AddLetters(string word, IReadOnlyList<string> words, ReadOnlySpan<ImgSpec> specs, ref int at)
    {
        for (var i = 1; i < word.Length; i++)
        {
            var spec = FindLetter(word[i], specs);
            if (spec.Value != ImgValue.Required)
            {
                options.Add((spec.Name, null));
                continue;
            }

            options.Add((spec.Name, i + 1 < word.Length ? word[(i + 1)..] : Next(words, ref at, $"-{spec.Letter}")));
            break;
        }
    }

    private static string Next(IReadOnlyList<string> words, ref int at, string option) =>
        ++at < words.Count ? words[at] : throw new ImgUsageException($"option '{option}' needs a value");

    private static ImgSpec FindLetter(char letter, ReadOnlySpan<ImgSpec> specs)
    {
        foreach (var spec in specs)
        {
            if (spec.Letter == letter && letter != '\0')
            {
                return spec;
            }
        }

        throw new ImgUsageException($"unknown option '-{letter}'");
    }

    private static ImgSpec FindLong(string name, ReadOnlySpan<ImgSpec> specs)
    {
        ImgSpec? found = null;
        foreach (var spec in specs)
        {
            if (spec.Name == name)
            {
                return spec;
            }

            if (name.Length > 0 && spec.Name.StartsWith(name, StringComparison.Ordinal))
            {
                if (found is { } other)
                {
                    throw new ImgUsageException($"'--{name}' could be '--{other.Name}' or '--{spec.Name}'");
                }

                found = spec;
            }
        }

        return found ?? throw new ImgUsageException($"unknown option '--{name}'");
    }
}
