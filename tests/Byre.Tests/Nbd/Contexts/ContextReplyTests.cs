using Byre.Nbd.Protocol;
using Byre.Nbd.Server.Contexts;

namespace Byre.Tests.Nbd.Contexts;

public sealed class ContextReplyTests
{
    [Fact]
    public void Long_and_short_replies_hold_what_was_added_whatever_the_one_before_held()
    {
        var replies = new[] { MakeReply(), MakeReply() };
        foreach (var (count, seed) in new[] { (1, 1u), (8, 2u), (9, 3u), (100_000, 4u), (0, 5u), (33, 6u), (20_000, 7u) })
        {
            // Two at a time, so that neither can have the other's memory.
            foreach (var reply in replies)
            {
                reply.Begin(count);
            }

            for (var i = 0; i < count; i++)
            {
                foreach (var (reply, salt) in replies.Zip([seed, seed + 100]))
                {
                    Assert.True(reply.TryAppend(i + 1, salt + (uint)(i % 2), mayBegin: true));
                    Assert.True(reply.TryAppend(salt, salt + (uint)(i % 2), mayBegin: false));
                }
            }

            foreach (var (reply, salt) in replies.Zip([seed, seed + 100]))
            {
                Assert.False(reply.TryAppend(1, 1000, mayBegin: true));
                Assert.True(reply.IsClosed);
                Assert.Equal(count, reply.Count);
                Assert.Equal(
                    Enumerable.Range(0, count).Select(i => new NbdStatusDescriptor((ulong)(i + 1) + salt, salt + (uint)(i % 2))),
                    reply.Items.ToArray());
            }
        }
    }

    [Fact]
    public void A_reply_that_was_forgotten_is_empty_and_may_be_forgotten_again()
    {
        var reply = MakeReply();
        reply.Begin(1000);
        for (var i = 0; i < 1000; i++)
        {
            reply.Add(1, (uint)i);
        }

        reply.Forget();
        reply.Forget();
        Assert.Equal(0, reply.Count);
        var other = MakeReply();
        var third = MakeReply();
        other.Begin(1000);
        third.Begin(1000);
        for (var i = 0; i < 1000; i++)
        {
            other.Add(2, 2u * (uint)i);
            third.Add(3, 3u * (uint)i);
        }

        Assert.Equal(Enumerable.Range(0, 1000).Select(i => new NbdStatusDescriptor(2, 2u * (uint)i)), other.Items.ToArray());
        Assert.Equal(Enumerable.Range(0, 1000).Select(i => new NbdStatusDescriptor(3, 3u * (uint)i)), third.Items.ToArray());
    }

    private static ContextReply MakeReply() => new(new MetaContextCatalog(false, []).All[0]);
}
