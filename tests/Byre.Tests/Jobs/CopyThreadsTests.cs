using System.Collections.Concurrent;
using Byre.Jobs;

namespace Byre.Tests.Jobs;

/// <summary>Whose threads a copy uses.</summary>
public sealed class CopyThreadsTests
{
    private const int Length = 1 << 20;

    [Theory]
    [InlineData(1, true, false)]
    [InlineData(4, true, false)]
    [InlineData(4, false, false)]
    [InlineData(4, true, true)]
    public async Task The_calling_thread_copies_where_it_is_lent_but_for_threads_of_the_pool(int parallel, bool lends, bool isOfPool)
    {
        await (isOfPool ? Task.Run(CopyAsync) : Task.Factory.StartNew(
            CopyAsync, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap());

        async Task CopyAsync()
        {
            Assert.Equal(isOfPool, Thread.CurrentThread.IsThreadPoolThread);
            var isLent = lends && !isOfPool;
            var source = new CopyNode(CopyEngineTests.Filled(Length, 5));
            var caller = Environment.CurrentManagedThreadId;
            var threads = new ConcurrentDictionary<int, bool>();
            var target = new CopyNode(new byte[Length])
            {
                OnWrite = () =>
                {
                    threads[Environment.CurrentManagedThreadId] = true;
                    if (isLent)
                    {
                        // However busy the machine is, the caller's thread gets its share.
                        SpinWait.SpinUntil(() => threads.ContainsKey(caller), TimeSpan.FromSeconds(30));
                    }
                },
            };
            await using var reader = CopyEngineTests.Reader(source);
            await using var writer = CopyEngineTests.Writer(target);
            var engine = new CopyEngine([reader], writer, new CopyOptions
            {
                BufferSize = 1 << 16,
                Parallel = parallel,
                OutOfOrder = true,
                OnCallersThread = lends,
            });
            var copy = engine.RunAsync();
            Assert.True(copy.IsCompleted || !isLent);
            Assert.Equal(isLent, threads.ContainsKey(caller));
            await copy;
            Assert.True(parallel > 1 || threads.Count == 1);
            Assert.Equal(source.Bytes, target.Bytes);
        }
    }
}
