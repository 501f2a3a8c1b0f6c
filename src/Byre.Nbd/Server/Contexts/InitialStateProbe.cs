using Byre.Graph;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Server.Contexts;

/// <summary>Finds out what NBD_INFO_INIT_STATE can promise of an export.</summary>
internal static class InitialStateProbe
{
    // Only what the first few extents tell: a client that connects does not wait for a walk of the whole image.
    private const int Extents = 16;

    /// <summary>What is known now. <see cref="NbdInitialState.None"/>: nothing is, and nothing should be said.</summary>
    /// <param name="source">The export.</param>
    /// <exception cref="BlockException">The mapping could not be read.</exception>
    public static async ValueTask<NbdInitialState> LookAsync(ContextSource source)
    {
        ArgumentNullException.ThrowIfNull(source);
        var end = source.End;
        if (end <= source.Offset)
        {
            return NbdInitialState.None;
        }

        var state = source.Edge.Node is IKnownZero { IsKnownZero: true } ? NbdInitialState.Zero : NbdInitialState.None;
        var extents = new ExtentList();
        extents.Reset(source.Offset, end - source.Offset, Extents);
        await new BackingChain(source.Edge).GetExtentsAsync(extents, ExtentPrecision.Exact).ConfigureAwait(false);
        var readsAsZero = extents.IsComplete;
        foreach (var extent in extents.Items)
        {
            readsAsZero &= extent.ReadsAsZero;
            state |= extent.IsHole ? NbdInitialState.Sparse : NbdInitialState.None;
        }

        return state | (readsAsZero ? NbdInitialState.Zero : NbdInitialState.None);
    }
}
