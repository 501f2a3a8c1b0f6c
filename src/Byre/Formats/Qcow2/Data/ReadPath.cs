using System.Runtime.CompilerServices;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Metadata;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Data;

/// <summary>Reads the guest's disk: host clusters that follow each other in one read of the file.</summary>
internal sealed class ReadPath(DataClusters data, BlockEdge? backing, GuestMap map, CompressedClusters compressed, Func<long> imageLength)
{
    /// <summary>Reads. What is mapped, in memory and in one piece completes without waiting where the file does.</summary>
    public ValueTask ReadAsync(long guest, Memory<byte> buffer)
    {
        if (map.TryFind(guest, buffer.Length, out var run) && run.Length == buffer.Length)
        {
            return ReadRunAsync(run, guest, buffer);
        }

        return ReadRunsAsync(guest, buffer);
    }

    /// <summary>The range reads as zeroes, by what the tables say of it and by where the backing layer ends.</summary>
    public bool IsZero(SubclusterKind kind, long guest) => kind switch
    {
        SubclusterKind.ZeroPlain or SubclusterKind.ZeroAllocated => true,
        SubclusterKind.UnallocatedPlain or SubclusterKind.UnallocatedAllocated => backing is null || guest >= backing.Length
            || guest >= map.VmStateStart(imageLength()), // no disk's content, whatever the backing layer holds there
        _ => false,
    };

    /// <summary>Every byte of a range reads as zero by what the tables say, without a look at data. An empty range does.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">First byte after it, inside the disk.</param>
    public async ValueTask<bool> IsZeroAsync(long start, long end)
    {
        while (start < end)
        {
            var run = await map.FindAsync(start, end - start).ConfigureAwait(false);
            if (!IsZero(run.Kind, start))
            {
                return false;
            }

            start += run.Length;
        }

        return true;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask ReadRunsAsync(long guest, Memory<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            if (!map.TryFind(guest, buffer.Length, out var run))
            {
                await map.LoadAsync(guest).ConfigureAwait(false);
                continue;
            }

            await ReadRunAsync(run, guest, buffer[..(int)run.Length]).ConfigureAwait(false);
            guest += run.Length;
            buffer = buffer[(int)run.Length..];
        }
    }

    private ValueTask ReadRunAsync(in GuestRun run, long guest, Memory<byte> buffer)
    {
        switch (run.Kind)
        {
            case SubclusterKind.Normal:
                data.Edge.DebugEvent(BlkdebugEvent.ReadAio);
                return data.ReadAsync(run.Host.Value, guest, buffer);
            case SubclusterKind.Compressed:
                return compressed.ReadAsync(run.Raw, guest, buffer);
            case SubclusterKind.Invalid:
                return FailAsync(guest, run.Raw);
            default:
                if (IsZero(run.Kind, guest))
                {
                    buffer.Span.Clear();
                    return default;
                }

                data.Edge.DebugEvent(BlkdebugEvent.ReadBackingAio);
                return PaddedReads.ReadAsync(backing!, guest, buffer);
        }
    }

    private async ValueTask FailAsync(long guest, ulong raw) => throw await map.InvalidAsync(guest, raw).ConfigureAwait(false);
}
