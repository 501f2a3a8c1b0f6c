namespace Byre.Cli.Img;

/// <summary>What info tells of a node below another.</summary>
/// <param name="Name">Its name there: "file".</param>
/// <param name="Report">The node.</param>
internal sealed record ChildReport(string Name, ImageReport Report);
