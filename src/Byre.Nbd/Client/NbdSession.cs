using Byre.Nbd.Protocol;

namespace Byre.Nbd.Client;

/// <summary>What was agreed on for one connection's transmission.</summary>
internal sealed class NbdSession(string server, NbdHeaderStyle style, NbdExportFacts facts, IReadOnlyList<NbdMetaContext> contexts)
{
    private long size = facts.Size;

    /// <summary>The server's name in messages.</summary>
    public string Server => server;

    /// <summary>The form of requests and replies.</summary>
    public NbdHeaderStyle Style => style;

    /// <summary>What the server said of the export.</summary>
    public NbdExportFacts Facts => facts;

    /// <summary>The metadata contexts selected, in the order they were asked for.</summary>
    public IReadOnlyList<NbdMetaContext> Contexts => contexts;

    /// <summary>The export's length in bytes now: a resize changes it.</summary>
    public long Size
    {
        get => Volatile.Read(ref size);
        set => Volatile.Write(ref size, value);
    }

    /// <summary>The longest payload of a request or reply, in bytes.</summary>
    public int MaxPayload => Facts.BlockSize is { } wanted
        ? (int)Math.Min(wanted.MaximumPayload, NbdLimits.DefaultMaxPayload) & ~((int)wanted.Minimum - 1)
        : NbdLimits.DefaultMaxPayload;

    /// <summary>Offsets and lengths are multiples of it, in bytes.</summary>
    public int MinimumBlock => (int)(Facts.BlockSize?.Minimum ?? 1);
}
