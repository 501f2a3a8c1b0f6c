using Spectre.Console;

namespace Byre.Cli.Demo;

/// <summary>How the demo looks: colours and rules on a terminal, plain lines elsewhere.</summary>
internal sealed class DemoScreen
{
    private readonly bool plain = Console.IsOutputRedirected;

    /// <summary>Begins a step.</summary>
    public void Step(string text)
    {
        if (plain)
        {
            Console.WriteLine();
            Console.WriteLine("== " + text);
            return;
        }

        AnsiConsole.WriteLine();
        AnsiConsole.Write(new Rule("[bold]" + Markup.Escape(text) + "[/]") { Justification = Justify.Left });
    }

    /// <summary>Shows a command as a user would type it.</summary>
    public void Command(string text) => Line("$ " + text, "aqua");

    /// <summary>Shows what a command printed, the first lines of it.</summary>
    public void Output(string text, int limit)
    {
        var lines = text.TrimEnd().Split('\n');
        if (lines is [""])
        {
            return;
        }

        foreach (var line in lines.Take(limit))
        {
            Line("  " + line, "grey");
        }

        if (lines.Length > limit)
        {
            Line($"  ... {lines.Length - limit} more lines", "grey");
        }
    }

    /// <summary>Says what was found.</summary>
    public void Found(string text) => Line("-> " + text, "green");

    /// <summary>Says what could not be done here.</summary>
    public void Note(string text) => Line("note: " + text, "yellow");

    private void Line(string text, string style)
    {
        if (plain)
        {
            Console.WriteLine(text);
        }
        else
        {
            AnsiConsole.MarkupLine($"[{style}]{Markup.Escape(text)}[/]");
        }
    }
}
