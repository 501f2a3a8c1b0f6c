using Byre.Nbd.Client;

namespace Byre.Cli.NbdInfo;

/// <summary>What nbdinfo says of an export.</summary>
/// <param name="Name">The export's name.</param>
/// <param name="Facts">What the server says of it.</param>
/// <param name="Contexts">The names of its metadata contexts; none where there are none or the server does not tell.</param>
/// <param name="Uri">A URI that leads to it, or null.</param>
/// <param name="Content">What file(1) says of its first bytes, or null.</param>
internal sealed record ExportReport(string Name, NbdExportFacts Facts, IReadOnlyList<string> Contexts, string? Uri, string? Content);
