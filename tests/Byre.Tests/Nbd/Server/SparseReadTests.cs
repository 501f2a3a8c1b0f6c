using Byre.Nbd.Protocol;

namespace Byre.Tests.Nbd.Server;

/// <summary>Long reads of disks with holes.</summary>
public class SparseReadTests
{
    private const int Piece = 128 << 10;

    public static TheoryData<NbdHeaderStyle> Styles => [NbdHeaderStyle.Structured, NbdHeaderStyle.Extended];

    /// <summary>Of a mapping in very many pieces only the first are told; the rest comes as data, and all of it is right.</summary>
    [Theory]
    [MemberData(nameof(Styles))]
    public async Task A_read_of_very_many_holes_is_whole(NbdHeaderStyle style)
    {
        const int Pieces = 160;
        await using var disk = new ServedDisk(length: Pieces * Piece);
        for (var i = 1; i < Pieces; i += 2)
        {
            await disk.Edge.DiscardAsync(i * Piece, Piece);
            disk.Content.AsSpan(i * Piece, Piece).Clear();
        }

        var client = disk.Use(style);
        var reply = client.Request(NbdCommand.Read, 0, Pieces * Piece);
        Assert.True(reply.IsWhole);
        Assert.True(reply.Data.AsSpan().SequenceEqual(disk.Content));
        Assert.Equal(["0+131072", "(131072+131072)", "262144+131072"], reply.Pieces.Take(3));
        Assert.InRange(reply.Pieces.Count, 10, 65);
    }

    [Theory]
    [MemberData(nameof(Styles))]
    public async Task Holes_of_a_part_of_an_image_are_where_clients_see_them(NbdHeaderStyle style)
    {
        await using var disk = new ServedDisk(change: o => o with { Offset = 2 * Piece, Length = 4 * Piece });
        await disk.Edge.DiscardAsync(3 * Piece, Piece);
        disk.Content.AsSpan(3 * Piece, Piece).Clear();
        var client = disk.Use(style);
        var reply = client.Request(NbdCommand.Read, 1000, 3 * Piece);
        Assert.Equal([$"1000+{Piece - 1000}", $"({Piece}+{Piece})", $"{2 * Piece}+{Piece + 1000}"], reply.Pieces);
        Assert.True(reply.Data.AsSpan().SequenceEqual(disk.Content.AsSpan((2 * Piece) + 1000, 3 * Piece)));
    }

    /// <summary>That there are data is believed for a moment only, and only of where they are.</summary>
    [Fact]
    public async Task Data_that_were_seen_are_believed_where_they_were_and_not_for_long()
    {
        await using var disk = new ServedDisk();
        await disk.Edge.DiscardAsync(0, Piece);
        var client = disk.Use(NbdHeaderStyle.Structured);
        Assert.Equal([$"{4 * Piece}+{Piece}"], client.Request(NbdCommand.Read, 4 * Piece, Piece).Pieces);
        Assert.Equal([$"(0+{Piece})"], client.Request(NbdCommand.Read, 0, Piece).Pieces);
        Assert.Equal([$"{4 * Piece}+{Piece}"], client.Request(NbdCommand.Read, 4 * Piece, Piece).Pieces);
        Assert.Equal(NbdError.None, client.Request(NbdCommand.Trim, 4 * Piece, Piece).Error);
        Assert.Equal(new byte[Piece], client.Request(NbdCommand.Read, 4 * Piece, Piece).Data); // as data or as a hole
        Thread.Sleep(500);
        Assert.Equal([$"({4 * Piece}+{Piece})"], client.Request(NbdCommand.Read, 4 * Piece, Piece).Pieces);
    }
}
