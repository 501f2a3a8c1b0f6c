namespace Byre.Nbd.Client;

/// <summary>
/// Sends the requests of one connection. Disposing it, once the channel is shut down, waits until nobody touches any request.
/// </summary>
internal interface IRequestSender : IDisposable
{
    /// <summary>Sends a request, and marks it sent, now or later. What is not sent when the sender stops is the connection's to hand back.</summary>
    void Send(NbdRequest request);

    /// <summary>Tells the server that the connection ends, where it hears of that at once.</summary>
    void SendGoodbye();
}
