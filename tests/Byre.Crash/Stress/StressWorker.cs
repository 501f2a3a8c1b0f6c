using Byre.Filters;
using Byre.Nodes;

namespace Byre.Crash.Stress;

/// <summary>One of the threads of a stress run: makes random requests, many of them to the clusters the others are at.</summary>
internal sealed class StressWorker(CrashConfiguration configuration, int seed, int number, StressState state)
{
    private const int StepsInWindow = 20;

    private readonly Random random = new(HashCode.Combine(seed, number));

    /// <summary>Makes requests until the steps are done or somebody has found a problem.</summary>
    public void Run(BlockEdge edge, int steps)
    {
        try
        {
            Sweep(edge);
            for (var step = 0; step < steps && state.Problem is null; step++)
            {
                var (first, count) = Window(step / StepsInWindow);
                Step(edge, first, count);
            }
        }
        catch (Exception e)
        {
            state.Report($"{e.GetType().Name} in thread {number}: {e.Message}");
        }
    }

    /// <summary>
    /// The file and its tables grow: some threads write to each range that has a table of its own, in turn; the others write
    /// where there is a table already, and so take the clusters beside and behind those of the new tables.
    /// </summary>
    private void Sweep(BlockEdge edge)
    {
        if (configuration.SweepSectors == 0)
        {
            return;
        }

        var tables = configuration.Sectors / configuration.SweepSectors;
        var makesTables = number % 3 == 0;
        while (state.Problem is null)
        {
            var table = makesTables ? state.NextTable() : state.LastTable;
            if (table >= tables)
            {
                return;
            }

            if (table >= 0)
            {
                table = makesTables ? table : random.Next(table + 1);
                var from = (table * configuration.SweepSectors) + random.Next(configuration.SweepSectors - 2);
                Change(from, random.Next(1, 3), false, (value, offset, data) => edge.WriteAsync(offset, data));
            }
        }
    }

    /// <summary>Where all threads are at a time: a few clusters, or anywhere.</summary>
    private (int First, int Count) Window(int index)
    {
        var draw = new Random(HashCode.Combine(seed, index));
        var sectors = state.Sectors;
        var count = Math.Min(sectors, configuration.SectorsPerCluster * draw.Next(1, configuration.Window + 1));
        return draw.Next(5) == 0 ? (0, sectors) : (draw.Next(sectors - count + 1) / configuration.SectorsPerCluster * configuration.SectorsPerCluster, count);
    }

    private void Step(BlockEdge edge, int first, int count)
    {
        var kind = random.Next(100);
        var (from, length) = kind is >= 40 and < 60 ? Clusters(first, count) : Range(first, count);
        var mayUnmap = random.Next(2) == 0 ? WriteFlags.MayUnmap : WriteFlags.None;
        switch (kind)
        {
            case < 4:
                Change(from, length, false, (_, offset, data) => edge.WriteAsync(offset, data, WriteFlags.Fua), isFua: true);
                break;
            case < 40:
                Change(from, length, false, (_, offset, data) => edge.WriteAsync(offset, data));
                break;
            case < 48 when configuration.Compresses && IsWholeClusters(from, length):
                Change(from, length, false, (_, offset, data) => edge.WriteAsync(offset, data, WriteFlags.Compressed));
                break;
            case < 52:
                Change(from, length, false, (_, offset, data) => edge.WriteAsync(offset, data));
                break;
            case < 60:
                Change(from, length, true, (_, offset, data) => edge.DiscardAsync(offset, data.Length), isDiscard: true);
                break;
            case < 72:
                Change(from, length, true, (_, offset, data) => edge.WriteZeroesAsync(offset, data.Length, mayUnmap));
                break;
            case < 75:
                Flush(edge);
                break;
            default:
                Read(edge, from, length);
                break;
        }
    }

    private void Change(
        int first, int count, bool zeroes, Func<int, long, byte[], ValueTask> request, bool isDiscard = false, bool isFua = false)
    {
        var value = zeroes ? SectorContent.Zero : state.NextValue();
        var data = zeroes ? new byte[count * SectorContent.Size] : SectorContent.Make(value, first, count);
        state.Locks.Take(first, count);
        try
        {
            var change = state.Begin(value, first, count, isDiscard, isFua);
            try
            {
                Wait(request(value, (long)first * SectorContent.Size, data));
            }
            catch (BlockException) when (configuration.Fails > 0)
            {
                change.IsUncertain = true;
            }

            state.End(change);
        }
        finally
        {
            state.Locks.Release(first, count);
        }
    }

    private void Flush(BlockEdge edge)
    {
        var began = state.Clock.Advance();
        try
        {
            Wait(edge.FlushAsync());
        }
        catch (BlockException) when (configuration.Fails > 0)
        {
            return;
        }

        state.Flushed(began);
    }

    private void Read(BlockEdge edge, int first, int count)
    {
        var data = new byte[count * SectorContent.Size];
        var began = state.Clock.Advance();
        try
        {
            Wait(edge.ReadAsync((long)first * SectorContent.Size, data));
        }
        catch (BlockException) when (configuration.Fails > 0)
        {
            return;
        }

        state.CheckRead(data, first, began);
    }

    private (int First, int Count) Range(int first, int count)
    {
        var from = first + random.Next(count);
        var most = random.Next(4) == 0 ? configuration.SectorsPerCluster * 3 : Math.Max(4, configuration.SectorsPerCluster / 8);
        return (from, random.Next(1, 1 + Math.Min(most, first + count - from)));
    }

    private (int First, int Count) Clusters(int first, int count)
    {
        var cluster = configuration.SectorsPerCluster;
        var from = (first + random.Next(count)) / cluster * cluster;
        return (from, Math.Min(random.Next(1, 4) * cluster, state.Sectors - from));
    }

    private bool IsWholeClusters(int first, int count) =>
        first % configuration.SectorsPerCluster == 0 && count % configuration.SectorsPerCluster == 0;

    private static void Wait(ValueTask request) => request.AsTask().GetAwaiter().GetResult();
}
