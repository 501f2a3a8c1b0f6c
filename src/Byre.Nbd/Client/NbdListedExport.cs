namespace Byre.Nbd.Client;

/// <summary>An export as a server's list tells it (section "NBD_REP_SERVER").</summary>
/// <param name="Name">Its name; empty for the default export.</param>
/// <param name="Description">A text about it, or null.</param>
public readonly record struct NbdListedExport(string Name, string? Description);
