using Byre.Nodes;

namespace Byre.Jobs;

/// <summary>Reads what can be read of a range: sectors that fail become zeroes.</summary>
internal sealed class SalvageReader(CopySources sources, CopyTally tally)
{
    private const int Sector = 512;

    /// <summary>Reads a range whose reading as a whole failed, by halves down to sectors.</summary>
    /// <param name="offset">Where it begins.</param>
    /// <param name="buffer">Takes the bytes.</param>
    /// <param name="lost">Takes the sectors that cannot be read, in their order.</param>
    public async ValueTask ReadAsync(long offset, Memory<byte> buffer, List<(long Offset, BlockException Failure)> lost)
    {
        if (buffer.Length > Sector)
        {
            var half = Math.Max(Sector, buffer.Length / 2 / Sector * Sector);
            await ReadHalfAsync(offset, buffer[..half], lost).ConfigureAwait(false);
            await ReadHalfAsync(offset + half, buffer[half..], lost).ConfigureAwait(false);
            return;
        }

        try
        {
            await sources.ReadAsync(offset, buffer).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            buffer.Span.Clear();
            tally.Unreadable(buffer.Length);
            lost.Add((offset, e));
        }
    }

    private async ValueTask ReadHalfAsync(long offset, Memory<byte> buffer, List<(long Offset, BlockException Failure)> lost)
    {
        if (buffer.Length > Sector)
        {
            try
            {
                await sources.ReadAsync(offset, buffer).ConfigureAwait(false);
                return;
            }
            catch (BlockException)
            {
                // Smaller parts may be readable.
            }
        }

        await ReadAsync(offset, buffer, lost).ConfigureAwait(false);
    }
}
