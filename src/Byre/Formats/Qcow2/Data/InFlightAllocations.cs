namespace Byre.Formats.Qcow2.Data;

/// <summary>
/// Keeps requests that change the mapping of the same clusters apart, from their look at the mapping to their change of it.
/// Writes in place and reads do not come here.
/// </summary>
internal sealed class InFlightAllocations
{
    private readonly Lock gate = new();
    private readonly List<Claim> claims = [];

    /// <summary>Waits until no other claim overlaps the range, and claims it.</summary>
    /// <param name="start">First byte, at a cluster's start.</param>
    /// <param name="end">The first byte after it.</param>
    public async ValueTask<Claim> ClaimAsync(long start, long end)
    {
        while (true)
        {
            Task wait;
            lock (gate)
            {
                Claim? other = null;
                foreach (var claim in claims)
                {
                    if (claim.Start < end && start < claim.End)
                    {
                        other = claim;
                        break;
                    }
                }

                if (other is null)
                {
                    var mine = new Claim(this, start, end);
                    claims.Add(mine);
                    return mine;
                }

                wait = other.Ended();
            }

            await wait.ConfigureAwait(false);
        }
    }

    private void End(Claim claim)
    {
        lock (gate)
        {
            claims.Remove(claim);
        }
    }

    /// <summary>A claimed range, until it is disposed.</summary>
    internal sealed class Claim(InFlightAllocations owner, long start, long end) : IDisposable
    {
        private TaskCompletionSource? ended;

        /// <summary>First byte.</summary>
        public long Start => start;

        /// <summary>The first byte after it.</summary>
        public long End => end;

        /// <summary>Completes when the claim ends. The caller holds the lock.</summary>
        public Task Ended() => (ended ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

        /// <inheritdoc/>
        public void Dispose()
        {
            owner.End(this);
            ended?.TrySetResult(); // nobody can find the claim any more, so nobody asks for it now
        }
    }
}
