using Byre.Blockdev;

namespace Byre.Cli.Copy;

/// <summary>A source or a target as the command line names it.</summary>
/// <param name="Kind">What the word is.</param>
/// <param name="Name">The word; the command's first one for a command.</param>
/// <param name="Words">The command and its arguments, for a command.</param>
internal sealed record CopyEnd(CopyEndKind Kind, string Name, IReadOnlyList<string> Words)
{
    /// <summary>Its image format; null for raw bytes.</summary>
    public string? Format { get; init; }

    /// <summary>The name is a list of options.</summary>
    public bool IsOptions { get; init; }

    /// <summary>Takes a source and a target from operands.</summary>
    /// <param name="operands">The operands: "[", COMMAND..., "]" together are one end.</param>
    /// <returns>As many ends as there are; null where a bracket is not closed.</returns>
    public static List<CopyEnd>? Parse(IReadOnlyList<string> operands)
    {
        var ends = new List<CopyEnd>();
        for (var i = 0; i < operands.Count; i++)
        {
            if (operands[i] != "[")
            {
                ends.Add(OfWord(operands[i]));
                continue;
            }

            var words = new List<string>();
            for (i++; i < operands.Count && operands[i] != "]"; i++)
            {
                words.Add(operands[i]);
            }

            if (i == operands.Count)
            {
                return null;
            }

            ends.Add(new CopyEnd(CopyEndKind.Command, words.Count > 0 ? words[0] : "", words));
        }

        return ends;
    }

    /// <summary>What messages call it.</summary>
    public string Title => Kind == CopyEndKind.Command ? $"[ {string.Join(' ', Words)} ]" : Name;

    private static CopyEnd OfWord(string word) => new(
        word switch
        {
            "-" => CopyEndKind.Standard,
            "null:" => CopyEndKind.Null,
            _ when FileNames.IsJson(word) || NbdNames.IsNbd(word) || IsVsock(word) => CopyEndKind.Image,
            _ => CopyEndKind.Path,
        },
        word,
        []);

    /// <summary>Names that nbdcopy takes and this program cannot: who opens them says so.</summary>
    private static bool IsVsock(string word) => FileNames.ProtocolOf(word) is "nbd+vsock" or "nbds+vsock";
}
