using Byre.Cli.Io.Commands;

namespace Byre.Cli.Io;

/// <summary>All commands of the applet.</summary>
internal static class IoCommandTable
{
    private static readonly Dictionary<string, IoCommand> ByName = Index();

    /// <summary>The commands in the order of their names.</summary>
    public static IReadOnlyList<IoCommand> All { get; } =
        [.. ByName.Values.Distinct().OrderBy(c => c.Name, StringComparer.Ordinal)];

    /// <summary>The command of a name or short name, or null.</summary>
    public static IoCommand? Find(string name) => ByName.GetValueOrDefault(name);

    private static Dictionary<string, IoCommand> Index()
    {
        var index = new Dictionary<string, IoCommand>(StringComparer.Ordinal);
        IEnumerable<IoCommand> all =
        [
            .. ReadCommands.All, .. WriteCommands.All, .. ImageCommands.All, .. OpenCommands.All,
            .. BreakCommands.All, .. ZoneCommands.All, .. SystemCommands.All,
        ];
        foreach (var command in all)
        {
            index.Add(command.Name, command);
            if (command.Alias is { } alias)
            {
                index.Add(alias, command);
            }
        }

        return index;
    }
}
