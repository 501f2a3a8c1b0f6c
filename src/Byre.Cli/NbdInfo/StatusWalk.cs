using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Cli.NbdInfo;

/// <summary>
/// Goes through the extents of an export. With extended headers the whole rest is asked about at once; without them a question
/// is about less than 4 GiB, and while the answers reach as far as was asked, more and more questions are on their way.
/// </summary>
/// <param name="client">A connection for which one context is selected.</param>
internal sealed class StatusWalk(NbdClient client)
{
    private const long Granule = 1 << 20;
    private const int MostAtOnce = 16;
    private const int Few = 4096; // of an answer longer than this, the round trip is the smaller part

    private readonly long longest =
        client.HeaderStyle == NbdHeaderStyle.Extended ? long.MaxValue : (1L << 32) - Math.Max(Granule, client.BlockSize?.Minimum ?? 1);

    private readonly NbdStatusSink[] sinks = [.. Enumerable.Range(0, MostAtOnce).Select(_ => new NbdStatusSink())];
    private readonly Queue<(Task Answer, NbdStatusSink Sink, long End)> asked = new();
    private int nextSink;

    /// <summary>Calls for each extent with its length and flags, in their order, up to the export's end.</summary>
    /// <exception cref="BlockException">The server does not tell.</exception>
    public async Task RunAsync(Action<long, ulong> each)
    {
        var atOnce = 1;
        var (at, next) = (0L, 0L);
        while (at < client.Size)
        {
            while (asked.Count < atOnce && next < client.Size)
            {
                next = Ask(next);
            }

            var (answer, sink, end) = asked.Dequeue();
            await answer.ConfigureAwait(false);
            var before = at;
            foreach (var extent in sink.Of(0))
            {
                var length = Math.Min((long)extent.Length, client.Size - at);
                each(length, extent.Flags);
                at += length;
            }

            if (at == before)
            {
                throw new BlockException(ErrorCode.Io, $"the server does not say what is at offset {at}");
            }

            if (at == end)
            {
                atOnce = sink.Of(0).Count <= Few ? Math.Min(atOnce * 2, MostAtOnce) : 1;
                continue;
            }

            // The other questions do not begin where this answer ends.
            await DropAsync().ConfigureAwait(false);
            (atOnce, next) = (1, at);
        }
    }

    private long Ask(long at)
    {
        var length = Math.Min(client.Size - at, longest);
        var sink = sinks[nextSink++ % MostAtOnce]; // questions are answered for in their order: this one is free
        asked.Enqueue((client.BlockStatusAsync(at, length, NbdCommandFlags.None, sink).AsTask(), sink, at + length));
        return at + length;
    }

    /// <summary>Waits for the answers that nobody wants, whatever they are: where it matters, it is asked again.</summary>
    private async Task DropAsync()
    {
        while (asked.TryDequeue(out var question))
        {
            await question.Answer.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
