using System.Globalization;
using Byre.Cli.Img;
using Byre.Jobs;
using Byre.Nodes;

namespace Byre.Cli.Copy;

/// <summary>One copy, from its options to its end.</summary>
internal sealed class CopyCommand(CopyRequest request, ImgContext context, CopyServers servers)
{
    private const int LocalBuffer = 1 << 20;
    private const int RemoteReads = 512 << 10;
    private const int RemoteWrites = 256 << 10; // most servers write each with one call, and files are written best so
    private const int LocalChunks = 2;
    private const int RemoteChunks = 4; // one for each connection, whose thread then sends and receives without a change of threads
    private const int StreamChunks = 3;
    private const int GreatestChunks = 64;
    private const long SmallestSparse = 4096;

    /// <summary>Copies, and reads back if that is wanted.</summary>
    /// <exception cref="ImgFailure">Something cannot be opened, or does not fit.</exception>
    /// <exception cref="BlockException">Something cannot be read or written, or what is read back differs.</exception>
    /// <exception cref="OperationCanceledException">It was interrupted.</exception>
    public async ValueTask RunAsync()
    {
        ImgObjects.Load(context, request.Arguments);
        var source = await CopySource.OpenAsync(request, context, servers).ConfigureAwait(false);
        await using (source.ConfigureAwait(false))
        {
            var target = await CopyTarget.OpenAsync(request, source, context, servers).ConfigureAwait(false);
            using var progress = request.Progress ? new CopyProgressText(request.ProgressDescriptor) : null;
            try
            {
                await FillAsync(source, target, progress).ConfigureAwait(false);
            }
            catch
            {
                await CloseQuietlyAsync(target).ConfigureAwait(false);
                throw;
            }

            await target.DisposeAsync().ConfigureAwait(false);
            context.Targets.ForgetAll();
            progress?.Finish();
        }
    }

    private static async ValueTask CloseQuietlyAsync(CopyTarget target)
    {
        try
        {
            await target.DisposeAsync().ConfigureAwait(false);
        }
        catch (BlockException)
        {
            // Why the copy failed is what the user hears of.
        }
    }

    private async ValueTask FillAsync(CopySource source, CopyTarget target, CopyProgressText? progress)
    {
        var options = OptionsFor(source, target) with { Progress = progress };
        Tell(source, target, options);
        if (source.Length > target.Edge.Length && !target.Edge.Node.GrowsOnWrite)
        {
            throw new ImgFailure(string.Create(
                CultureInfo.InvariantCulture, $"'{target.Title}' has {target.Edge.Length} bytes; '{source.Title}' has {source.Length}"));
        }

        CopyResult result;
        try
        {
            var engine = source.Edge is { } edge ? new CopyEngine([edge], target.Edge, options) : new CopyEngine(source, target.Edge, options);
            result = await engine.RunAsync(context.Stopping).ConfigureAwait(false);
        }
        catch (BlockException e) when (target.IsStream && e.Errno == CopyProgram.BrokenPipe)
        {
            throw new BrokenPipeException();
        }

        await target.CompleteAsync(result.Length).ConfigureAwait(false);
        if (request.Verbose)
        {
            context.Error(string.Create(
                CultureInfo.InvariantCulture,
                $"copied {result.Length} bytes: {result.BytesRead} read, {result.BytesWritten} written, {result.BytesKernelCopied} shared or copied by the kernel, {result.BytesZeroed} zeroed, {result.BytesSkipped} left out as zeroes"));
        }

        if (request.Verify)
        {
            await CopyVerifier.RunAsync(source, target, result.Length, options, context.Stopping).ConfigureAwait(false);
            if (request.Verbose)
            {
                context.Error($"'{target.Title}' was read back and holds what was copied");
            }
        }
    }

    private CopyOptions OptionsFor(CopySource source, CopyTarget target)
    {
        var writesToServer = CopyRemote.Is(target.Edge.Node);
        var isRemote = writesToServer || (source.Edge is { } edge && CopyRemote.Is(edge.Node));
        var buffer = request.RequestSize ?? (writesToServer ? RemoteWrites : isRemote ? RemoteReads : LocalBuffer);
        var keepsData = request.Allocated || target.IsStream || target.IsNull;
        return new CopyOptions
        {
            OnCallersThread = true,
            Parallel = request.Synchronous ? 1 : Chunks(isRemote, target.IsStream, buffer),
            WaitsForPeers = true,
            BufferSize = buffer,
            SparseBytes = keepsData ? 0 : request.Sparse ?? Math.Max(SmallestSparse, Math.Min(target.Edge.Node.Limits.OptimalTransfer, buffer)),
            KeepsHoles = true,
            Allocated = request.Allocated && !target.IsStream && !target.IsNull,
            TargetIsZero = target.IsZero || request.TargetIsZero && !target.IsStream,
            IgnoresExtents = request.NoExtents,
            Sequential = target.IsStream || request.Synchronous,
            OutOfOrder = isRemote || target.IsNull,
            Flushes = request.Flush,
        };
    }

    /// <summary>How many chunks are on their way at a time; each has a thread and a buffer.</summary>
    private int Chunks(bool isRemote, bool isStream, int buffer)
    {
        var standard = isStream ? StreamChunks
            : request.Threads > 0 ? request.Threads
            : isRemote ? RemoteChunks : LocalChunks;
        var most = Math.Clamp(request.QueueSize / buffer, 1, GreatestChunks);
        most = isRemote ? Math.Min(most, (long)request.Requests * request.Connections) : most;
        most = request.Threads > 0 ? Math.Min(most, request.Threads) : most;
        return (int)Math.Min(standard, most);
    }

    private void Tell(CopySource source, CopyTarget target, CopyOptions options)
    {
        if (!request.Verbose)
        {
            return;
        }

        var length = source.Length is { } known ? known.ToString(CultureInfo.InvariantCulture) : "unknown";
        context.Error($"source: {source.Title}, driver {source.Edge?.Node.DriverName ?? "stream"}, size {length}");
        context.Error(string.Create(
            CultureInfo.InvariantCulture,
            $"destination: {target.Title}, driver {target.Edge.Node.DriverName}, size {target.Edge.Length}"));
        context.Error(string.Create(
            CultureInfo.InvariantCulture,
            $"up to {options.Parallel} requests in flight, of {options.BufferSize} bytes; zeroes are looked for in blocks of {options.SparseBytes} bytes"));
    }
}
