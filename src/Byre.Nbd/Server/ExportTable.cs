using Byre.Nodes;

namespace Byre.Nbd.Server;

/// <summary>A server's exports, by name. All members may be called at any time, from several threads.</summary>
/// <remarks>Lock order: <c>gate</c> is a leaf.</remarks>
public sealed class ExportTable
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, NbdExport> exports = new(StringComparer.Ordinal);
    private readonly List<NbdExport> order = [];

    /// <summary>Makes an empty one.</summary>
    internal ExportTable()
    {
    }

    /// <summary>Clients can find the export from now on.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Exists"/>: there is one with this name.</exception>
    public void Add(NbdExport export)
    {
        ArgumentNullException.ThrowIfNull(export);
        lock (gate)
        {
            if (!exports.TryAdd(export.Name, export))
            {
                throw new BlockException(ErrorCode.Exists, $"There is an export '{export.Name}' already");
            }

            order.Add(export);
        }
    }

    /// <summary>
    /// Takes an export away. It completes when no request uses the export's edge any more, which may be closed then. A client in
    /// its handshake uses no export yet, and finds none under the name afterwards.
    /// </summary>
    /// <param name="name">Its name.</param>
    /// <param name="hard">
    /// False (safe): while clients use the export nothing happens, and the call fails at once; it waits for nobody.
    /// True: clients that use it are disconnected, and their requests that have begun are waited for.
    /// </param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.NotFound"/>: there is none; <see cref="ErrorCode.Busy"/>: clients use it, and it is not hard.
    /// </exception>
    public async ValueTask RemoveAsync(string name, bool hard)
    {
        ArgumentNullException.ThrowIfNull(name);
        var export = Find(name) ?? throw new BlockException(ErrorCode.NotFound, $"There is no export '{name}'");
        if (!export.TryRemove(hard, out var unused))
        {
            throw new BlockException(ErrorCode.Busy, $"The export '{name}' is in use by clients; only a hard removal disconnects them");
        }

        lock (gate)
        {
            if (order.Remove(export))
            {
                exports.Remove(name);
            }
        }

        await unused.ConfigureAwait(false);
    }

    /// <summary>The export with a name, or null.</summary>
    public NbdExport? Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        lock (gate)
        {
            return exports.GetValueOrDefault(name);
        }
    }

    /// <summary>All exports, in the order in which they were added.</summary>
    public IReadOnlyList<NbdExport> List()
    {
        lock (gate)
        {
            return [.. order];
        }
    }
}
