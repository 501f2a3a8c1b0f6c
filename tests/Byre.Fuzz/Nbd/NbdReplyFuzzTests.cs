using System.Globalization;
using Byre.Nbd;
using Byre.Nbd.Client;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Fuzz.Nbd;

/// <summary>
/// Damaged replies of a server whose right answers are known: a client gives those, or one clear error, and never anything else,
/// in bounded time and memory.
/// </summary>
[Collection(AloneCollection.Name)]
public sealed class NbdReplyFuzzTests : IDisposable
{
    private const long MostAllocated = 2 << 20; // the mean of all sessions; half of it is the model's own

    private readonly string folder = Directory.CreateTempSubdirectory("byre-nbdreplies-").FullName;
    private readonly FuzzSessions sessions = new(MostAllocated);
    private int rightAnswers;
    private int errors;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory]
    [InlineData(NbdHeaderStyle.Simple)]
    [InlineData(NbdHeaderStyle.Structured)]
    [InlineData(NbdHeaderStyle.Extended)]
    public async Task A_client_gives_right_answers_or_errors(NbdHeaderStyle style)
    {
        await sessions.ForSeedsAsync(seed => TalkAsync(style, seed));
        Assert.True(rightAnswers > errors / 10 && errors > rightAnswers / 10, $"{rightAnswers} right answers, {errors} errors");
    }

    private async Task TalkAsync(NbdHeaderStyle style, int seed)
    {
        var isDamaged = seed % 10 != 0;
        var random = new Random(seed);
        var disk = new ModelDisk(random);
        var path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{seed}"));
        var isSeen = false;
        using var server = new ModelServer(path, disk, style, ModelDisk.Regions, new Random(random.Next()), isDamaged);
        await using var client = await NbdClient.ConnectAsync(new NbdClientOptions
        {
            Address = NbdAddress.Unix(path),
            RequestExtended = style == NbdHeaderStyle.Extended,
            RequestStructured = style != NbdHeaderStyle.Simple,
            MetaContexts = [.. ModelDisk.Contexts.Select(context => context.Name)],
            SilenceLimit = TimeSpan.FromSeconds(20),
        });
        var requests = Enumerable.Range(0, ModelDisk.Regions).Select(region => Ask(client, random, disk, region)).ToList();
        foreach (var (command, offset, answer, isRight) in requests)
        {
            var what = $"style {style} seed {seed} {command} at {offset}";
            try
            {
                await answer;
                Assert.False(disk.Fails(command, offset), $"{what}: the server's error is passed over");
                Assert.True(isRight(), $"{what}: a wrong answer is taken for right");
                Interlocked.Increment(ref rightAnswers);
            }
            catch (BlockException e)
            {
                Assert.True(isDamaged || disk.Fails(command, offset), $"{what}: {e.Message}");
                Assert.False(e.Message.Any(char.IsControl), $"{what}: {e.Message}");
                Assert.False(e.InnerException is not null and not IOException, $"{what}: {e.InnerException}");
                isSeen |= e.Code is ErrorCode.Corrupt or ErrorCode.Disconnected;
                Interlocked.Increment(ref errors);
            }
            catch (Exception e) when (e is not Xunit.Sdk.XunitException)
            {
                Assert.Fail($"{what}: {e}");
            }
        }

        await client.DisposeAsync();
        server.Dispose();
        Assert.True(isSeen || !server.MustShow, $"style {style} seed {seed}: nobody sees that the replies are damaged");
    }

    private static (NbdCommand Command, long Offset, Task Answer, Func<bool> IsRight) Ask(NbdClient client, Random random, ModelDisk disk, int region)
    {
        var length = random.Next(1, ModelDisk.Region / 2 / ModelDisk.Block) * ModelDisk.Block;
        var offset = ((long)region * ModelDisk.Region) + (random.Next((ModelDisk.Region - length) / ModelDisk.Block) * ModelDisk.Block);
        switch (random.Next(8))
        {
            case 0:
                return (NbdCommand.Write, offset, client.WriteAsync(offset, disk.Bytes.AsMemory((int)offset, length)).AsTask(), () => true);
            case 1:
                return (NbdCommand.Flush, 0, client.FlushAsync().AsTask(), () => true);
            case 2:
                return (NbdCommand.Trim, offset, client.TrimAsync(offset, length).AsTask(), () => true);
            case 3 or 4 when client.Contexts.Count > 0:
                var sink = new NbdStatusSink();
                return (NbdCommand.BlockStatus, offset, client.BlockStatusAsync(offset, length, NbdCommandFlags.None, sink).AsTask(), () => IsTrue(disk, sink));
            default:
                var bytes = new byte[length];
                random.NextBytes(bytes);
                var flags = client.Facts.Has(NbdTransmissionFlags.SendDontFragment) && random.Next(4) == 0 ? NbdCommandFlags.DontFragment : NbdCommandFlags.None;
                return (NbdCommand.Read, offset, client.ReadAsync(offset, bytes, flags).AsTask(), () => bytes.AsSpan().SequenceEqual(disk.Bytes.AsSpan((int)offset, length)));
        }
    }

    private static bool IsTrue(ModelDisk disk, NbdStatusSink sink)
    {
        for (var i = 0; i < ModelDisk.Contexts.Count; i++)
        {
            var at = sink.Offset;
            foreach (var extent in sink.Of(i))
            {
                for (var end = at + (long)extent.Length; at < end; at += ModelDisk.Block)
                {
                    if (at >= ModelDisk.Size || disk.FlagsAt(i, at) != extent.Flags)
                    {
                        return false;
                    }
                }
            }

            if (at == sink.Offset)
            {
                return false;
            }
        }

        return sink.ContextCount == ModelDisk.Contexts.Count;
    }
}
