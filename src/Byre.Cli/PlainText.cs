namespace Byre.Cli;

/// <summary>Text for people, without what would move a terminal's cursor or forge a line: names come out of images.</summary>
internal static class PlainText
{
    /// <summary>The text with a question mark for each control character that is no line feed.</summary>
    public static string Of(string text) => Replace(text, keepLines: true);

    /// <summary>The text as one line: with a question mark for each control character.</summary>
    public static string LineOf(string text) => Replace(text, keepLines: false);

    private static string Replace(string text, bool keepLines)
    {
        bool Stays(char c) => !char.IsControl(c) || (keepLines && c == '\n');
        return text.All(Stays) ? text : string.Concat(text.Select(c => Stays(c) ? c : '?'));
    }
}
