using System.Collections.ObjectModel;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>How a node uses an export of an NBD server.</summary>
public sealed record NbdNodeOptions
{
    /// <summary>The server and the export. Its metadata contexts, option mode and limit of requests are the node's affair.</summary>
    public required NbdClientOptions Client { get; init; }

    /// <summary>The name a person knows the node by.</summary>
    public string FileName { get; init; } = "";

    /// <summary>The options that say which export it is, as they were given: JSON values by their keys (see <see cref="IGivenOptions"/>).</summary>
    public IReadOnlyDictionary<string, string> Given { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <summary>No writing.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>An export that is read-only is opened read-only, whatever <see cref="ReadOnly"/> says.</summary>
    public bool AutoReadOnly { get; init; }

    /// <summary>
    /// The most connections, 1 to 16; null for 4. One, unless the server says that several are safe, or the export is
    /// read-only and this is set. They are made as requests pile up.
    /// </summary>
    public int? Connections { get; init; }

    /// <summary>
    /// How long requests wait for a lost connection to be made again, and are then sent again; without a new connection they
    /// fail. Zero: what was sent and not answered fails at once (reads go on over other connections, if there are any), and
    /// later requests try once to connect. The time begins when the loss is noticed: where callers wait for replies themselves
    /// (<see cref="Blocking"/>) that is by the next request. What was written and not flushed may be lost with the server; nobody is told.
    /// </summary>
    public TimeSpan ReconnectDelay { get; init; }

    /// <summary>How long opening tries again where the server cannot be reached; zero: once.</summary>
    public TimeSpan OpenTimeout { get; init; }

    /// <summary>
    /// A metadata context to be read in the place of base:allocation, as if its flags were that context's (QEMU's x-dirty-bitmap);
    /// or null. What extents say of zeroes is then not about the content.
    /// </summary>
    public string? AllocationContext { get; init; }

    /// <summary>More metadata contexts to select, for <see cref="NbdNode.GetStatusAsync"/>.</summary>
    public IReadOnlyList<string> MetaContexts { get; init; } = [];

    /// <summary>The length is taken for fixed: a change to less does nothing, as it is with a device.</summary>
    public bool IsFixed { get; init; }

    /// <summary>Disposed with the node (credentials that nobody else uses), or null.</summary>
    public IDisposable? Owned { get; init; }

    /// <summary>
    /// Requests wait on the caller's thread, which sends and receives itself: the fastest way for a few threads of the caller's
    /// own that may wait. Opening waits on it too. A connection without requests in flight is not watched: that it was lost shows with the next one.
    /// </summary>
    public bool Blocking { get; init; }
}
