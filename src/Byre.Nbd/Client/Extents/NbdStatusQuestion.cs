namespace Byre.Nbd.Client.Extents;

/// <summary>Asks a server for block status.</summary>
/// <param name="offset">First byte.</param>
/// <param name="length">Bytes, at least 1.</param>
/// <param name="sink">Takes the answer.</param>
/// <returns>The contexts of the connection that was asked, in the order of the sink's.</returns>
public delegate ValueTask<IReadOnlyList<NbdMetaContext>> NbdStatusQuestion(long offset, long length, NbdStatusSink sink);
