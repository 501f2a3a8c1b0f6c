namespace Byre.Nbd.Transport;

/// <summary>What can be waited for on a socket.</summary>
[Flags]
public enum ChannelEvents
{
    /// <summary>Nothing: the time was over.</summary>
    None = 0,

    /// <summary>A receive would not wait (bytes, the end, or an error).</summary>
    Readable = 1,

    /// <summary>A send would not wait.</summary>
    Writable = 2,

    /// <summary>The wake event was set.</summary>
    Woken = 4,

    /// <summary>Both directions are closed, or the socket has failed.</summary>
    HungUp = 8,
}
