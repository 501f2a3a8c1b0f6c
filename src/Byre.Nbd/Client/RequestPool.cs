namespace Byre.Nbd.Client;

/// <summary>Requests for use again.</summary>
internal sealed class RequestPool
{
    private const int Most = 256;

    private readonly Lock gate = new();
    private readonly Stack<NbdRequest> spare = new();

    /// <summary>One that nobody uses.</summary>
    public NbdRequest Rent()
    {
        lock (gate)
        {
            if (spare.TryPop(out var request))
            {
                return request;
            }
        }

        return new NbdRequest(this);
    }

    /// <summary>Takes one back.</summary>
    public void Return(NbdRequest request)
    {
        lock (gate)
        {
            if (spare.Count < Most)
            {
                spare.Push(request);
            }
        }
    }
}
