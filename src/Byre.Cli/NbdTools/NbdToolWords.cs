using Byre.Cli.Img;
using Byre.Nbd;

namespace Byre.Cli.NbdTools;

/// <summary>The words of a tool that looks at one NBD server: options, and a URI or "[ COMMAND ARGUMENTS ... ]".</summary>
internal sealed class NbdToolWords
{
    private NbdToolWords(ImgArguments options, IReadOnlyList<string>? command)
    {
        Options = options;
        Command = command;
    }

    /// <summary>The options, and the operands before a command.</summary>
    public ImgArguments Options { get; }

    /// <summary>The command and its arguments, or null.</summary>
    public IReadOnlyList<string>? Command { get; }

    /// <summary>Parts the words. Options stand before a command's bracket: what follows belongs to the command.</summary>
    /// <exception cref="ImgUsageException">An option is wrong, or a bracket is missing.</exception>
    public static NbdToolWords Parse(IReadOnlyList<string> words, ReadOnlySpan<ImgSpec> specs)
    {
        var open = words.Count;
        for (var i = 0; i < words.Count && open == words.Count; i++)
        {
            open = words[i] == "[" ? i : open;
        }

        var options = ImgArguments.Parse([.. words.Take(open)], specs);
        if (open == words.Count)
        {
            return new NbdToolWords(options, null);
        }

        if (words[^1] != "]" || options.Operands.Count > 0)
        {
            throw new ImgUsageException(
                words[^1] != "]" ? "the command that '[' begins does not end with ']'" : $"'{options.Operands[0]}' stands before a command: name one server");
        }

        return words.Count - open < 3
            ? throw new ImgUsageException("'[ ]' names no command")
            : new NbdToolWords(options, [.. words.Skip(open + 1).SkipLast(1)]);
    }

    /// <summary>The server they name.</summary>
    /// <exception cref="ImgUsageException">They name none, or several.</exception>
    /// <exception cref="Nodes.BlockException">What they name is no URI.</exception>
    public NbdTarget Target() => Command is not null ? new NbdTarget(Command)
        : Options.Operands.Count == 1 ? new NbdTarget(NbdUri.Parse(Options.Operands[0]))
        : throw new ImgUsageException(Options.Operands.Count == 0 ? "name a server: a URI or '[ COMMAND ARGUMENTS ... ]'" : "name one server only");
}
