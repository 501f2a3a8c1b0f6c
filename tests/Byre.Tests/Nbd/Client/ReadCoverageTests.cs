using Byre.Nbd.Client;

namespace Byre.Tests.Nbd.Client;

public sealed class ReadCoverageTests
{
    [Fact]
    public void Pieces_in_any_order_agree_with_a_map_of_bytes()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var seen = new bool[200];
            var coverage = new ReadCoverage();
            for (var step = 0; step < 60; step++)
            {
                var start = random.Next(seen.Length);
                var end = Math.Min(seen.Length, start + random.Next(1, 20));
                var twice = seen.AsSpan(start, end - start).Contains(true);
                var wrong = coverage.Add(start, end);
                Assert.True(twice == wrong is not null, $"seed {seed}, step {step}");
                if (twice)
                {
                    break;
                }

                seen.AsSpan(start, end - start).Fill(true);
                var front = Array.IndexOf(seen, false) is var first and >= 0 ? first : seen.Length;
                Assert.True(coverage.Covers(front));
                Assert.False(coverage.Covers(front + 1));
            }
        }
    }

    [Fact]
    public void Nothing_is_left_of_the_read_before()
    {
        var coverage = new ReadCoverage();
        Assert.Null(coverage.Add(0, 10));
        Assert.Null(coverage.Add(20, 30));
        coverage.Reset();
        Assert.False(coverage.Covers(1));
        Assert.Null(coverage.Add(0, 30));
        Assert.True(coverage.Covers(30));
    }

    [Fact]
    public void Too_many_gaps_are_refused()
    {
        var coverage = new ReadCoverage();
        for (var i = 1; i <= ReadCoverage.MostPieces; i++)
        {
            Assert.Null(coverage.Add(2 * i, (2 * i) + 1));
        }

        Assert.NotNull(coverage.Add(1 << 20, (1 << 20) + 1));
    }
}
