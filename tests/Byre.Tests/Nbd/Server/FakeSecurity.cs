using Byre.Nbd.Transport;

namespace Byre.Tests.Nbd.Server;

/// <summary>In the place of TLS: the client says "hello", the server "welcome", and all is as it was. Other bytes fail.</summary>
internal sealed class FakeSecurity(bool isRequired, string? peerName = null) : IServerSecurity
{
    public bool IsRequired => isRequired;

    public ValueTask<SecuredChannel> AcceptAsync(SocketChannel plain, CancellationToken cancellation)
    {
        var hello = new byte[5];
        while (plain.Poll(ChannelEvents.Readable, null, 20) == ChannelEvents.None)
        {
            cancellation.ThrowIfCancellationRequested();
        }

        if (!plain.ReceiveAll(hello) || !hello.AsSpan().SequenceEqual("hello"u8))
        {
            plain.Dispose();
            throw new IOException("this is no TLS");
        }

        plain.Send("welcome"u8);
        return new(new SecuredChannel(plain, peerName));
    }
}
