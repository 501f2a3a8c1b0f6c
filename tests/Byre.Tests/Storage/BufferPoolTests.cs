using System.Buffers;
using System.Runtime.InteropServices;
using Byre.Storage;

namespace Byre.Tests.Storage;

public class BufferPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(4095)]
    [InlineData(4096)]
    [InlineData(4097)]
    [InlineData(65_536)]
    [InlineData((4 << 20) - 1)]
    [InlineData(4 << 20)]
    [InlineData((4 << 20) + 1)]
    [InlineData(9_000_001)]
    public unsafe void A_buffer_is_as_long_as_asked_for_page_aligned_and_writable_to_its_end(int length)
    {
        for (var i = 0; i < 3; i++)
        {
            using var owner = BufferPool.Rent(length);
            Assert.Equal(length, owner.Memory.Length);
            using var pin = owner.Memory.Pin();
            Assert.Equal(0, (nint)pin.Pointer % 4096);
            owner.Memory.Span.Fill(0xa5);
            Assert.False(owner.Memory.Span.ContainsAnyExcept((byte)0xa5));
        }
    }

    [Fact]
    public void Buffers_lent_at_the_same_time_do_not_overlap()
    {
        var owners = new List<IMemoryOwner<byte>>();
        for (var i = 0; i < 40; i++)
        {
            var owner = BufferPool.Rent(5000 + i);
            owner.Memory.Span.Fill((byte)i);
            owners.Add(owner);
        }

        for (var i = 0; i < 40; i++)
        {
            Assert.False(owners[i].Memory.Span.ContainsAnyExcept((byte)i));
            owners[i].Dispose();
        }
    }

    [Fact]
    public void A_buffer_returned_twice_or_of_no_length_is_an_error()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => BufferPool.Rent(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => BufferPool.Rent(-1));
        var owner = BufferPool.Rent(3_000_000); // a size that no other test returns meanwhile
        owner.Dispose();
        Assert.Throws<InvalidOperationException>(owner.Dispose);
    }

    [Fact]
    public async Task Many_threads_rent_and_return()
    {
        await Parallel.ForAsync(0, 8, async (worker, _) =>
        {
            var random = new Random(worker);
            for (var i = 0; i < 300; i++)
            {
                using var owner = BufferPool.Rent(random.Next(1, 300_000));
                MemoryMarshal.AsBytes(owner.Memory.Span).Fill((byte)worker);
                if (i % 50 == 0)
                {
                    await Task.Yield();
                }

                Assert.False(owner.Memory.Span.ContainsAnyExcept((byte)worker));
            }
        });
    }
}
