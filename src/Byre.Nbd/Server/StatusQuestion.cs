using Byre.Nbd.Server.Contexts;

namespace Byre.Nbd.Server;

/// <summary>A BLOCK_STATUS request, and what is needed to answer it; used again for later ones.</summary>
internal sealed class StatusQuestion(ContextWalker walker, ContextReply[] all)
{
    /// <summary>Walks the mapping.</summary>
    public ContextWalker Walker => walker;

    /// <summary>A reply for each of the connection's contexts.</summary>
    public ContextReply[] All => all;

    /// <summary>Those that are asked for now.</summary>
    public List<ContextReply> Wanted { get; } = [];

    /// <summary>Bytes asked about.</summary>
    public long Length { get; set; }
}
