namespace Byre.Nbd.Client;

/// <summary>A metadata context (section "Metadata querying").</summary>
/// <param name="Id">The number the server uses on this connection; means nothing in a list of what there is.</param>
/// <param name="Name">Its name, "NAMESPACE:LEAF".</param>
public readonly record struct NbdMetaContext(uint Id, string Name);
