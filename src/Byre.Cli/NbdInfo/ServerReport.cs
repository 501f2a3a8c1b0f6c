using Byre.Nbd.Client;
using Byre.Nbd.Protocol;

namespace Byre.Cli.NbdInfo;

/// <summary>What nbdinfo says of a server.</summary>
/// <param name="Protocol">The version of its handshake: oldstyle, newstyle, newstyle-fixed.</param>
/// <param name="IsTls">The connection is secured.</param>
/// <param name="Headers">The form of requests and replies.</param>
internal sealed record ServerReport(string Protocol, bool IsTls, NbdHeaderStyle Headers)
{
    /// <summary>What a connection tells.</summary>
    public static ServerReport Of(NbdClient client) => new(
        client.HandshakeStyle switch
        {
            NbdHandshakeStyle.OldStyle => "oldstyle",
            NbdHandshakeStyle.NewStyle => "newstyle",
            _ => "newstyle-fixed",
        },
        client.IsTls,
        client.HeaderStyle);
}
