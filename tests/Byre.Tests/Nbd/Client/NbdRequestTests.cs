using Byre.Nbd.Client;
using Byre.Nbd.Protocol;

namespace Byre.Tests.Nbd.Client;

public sealed class NbdRequestTests
{
    [Fact]
    public void A_change_may_have_happened_once_it_is_begun()
    {
        var request = new NbdRequest(null).Set(NbdCommand.Write, NbdCommandFlags.None, 0, 1).With(new byte[1]).Changing(new StatusRest());
        Assert.False(request.MayHaveChanged);
        request.IsBegun = true;
        Assert.True(request.MayHaveChanged);
    }

    [Fact]
    public async Task A_request_that_is_used_again_is_a_new_one()
    {
        var rest = new StatusRest();
        var request = new NbdRequest(null).Set(NbdCommand.Write, NbdCommandFlags.None, 0, 1).With(new byte[1]).Changing(rest);
        request.Attempts = 3;
        request.IsBegun = true;
        request.HasContent = true;
        request.ContextsSeen = 1;
        request.Set(NbdCommand.Read, NbdCommandFlags.None, 0, 1).Into(new byte[1]);
        Assert.True(request.Payload.IsEmpty);
        Assert.False(request.HasContent);
        Assert.Equal((0, 0UL), (request.Attempts, request.ContextsSeen));
        request.IsBegun = true;
        Assert.False(request.MayHaveChanged);
        var mark = rest.Mark;
        request.MarkSent(null);
        request.MarkReplied(null);
        await request.AsValueTask();
        Assert.Equal(mark, rest.Mark); // a read forgets nothing
    }
}
