using Byre.Nbd.Server.Contexts;

namespace Byre.Tests.Nbd.Contexts;

public class MetaContextCatalogTests
{
    private static readonly MetaContextCatalog Full = new(allocationDepth: true, ["b0", "monday:late"]);

    [Theory]
    [InlineData(false, "", true, "base:allocation")]
    [InlineData(true, "", true, "base:allocation qemu:allocation-depth qemu:joint-allocation byre:joint")]
    [InlineData(true, "", false, "base:allocation qemu:allocation-depth")]
    [InlineData(false, "b0 b1", true, "base:allocation qemu:dirty-bitmap:b0 qemu:dirty-bitmap:b1 byre:joint")]
    [InlineData(false, "b0 b1", false, "base:allocation qemu:dirty-bitmap:b0 qemu:dirty-bitmap:b1")]
    public void An_export_offers_what_it_was_told_to(bool depth, string bitmaps, bool joint, string expected)
    {
        var catalog = new MetaContextCatalog(depth, bitmaps.Split(' ', StringSplitOptions.RemoveEmptyEntries), joint);
        Assert.Equal(expected, Text(catalog.List([])));
        Assert.Equal(Enumerable.Range(0, catalog.All.Count).Select(i => (uint)i), catalog.All.Select(c => c.Id));
    }

    [Theory]
    [InlineData("base:", "base:allocation")]
    [InlineData("base:allocation", "base:allocation")]
    [InlineData("qemu:", "qemu:allocation-depth qemu:dirty-bitmap:b0 qemu:dirty-bitmap:monday:late qemu:joint-allocation")]
    [InlineData("qemu:dirty-bitmap:", "qemu:dirty-bitmap:b0 qemu:dirty-bitmap:monday:late")]
    [InlineData("qemu:dirty-bitmap:monday:late", "qemu:dirty-bitmap:monday:late")]
    [InlineData("byre:", "byre:joint")]
    [InlineData("byre:|base:|base:allocation|byre:", "base:allocation byre:joint")]
    [InlineData("", "")]
    [InlineData("base", "")]
    [InlineData("base:alloc", "")]
    [InlineData("base:allocation2", "")]
    [InlineData("BASE:", "")]
    [InlineData("qemu:dirty-bitmap", "")]
    [InlineData("qemu:dirty-bitmap:monday", "")]
    [InlineData("x-else:|nothing:at-all", "")]
    public void A_list_takes_names_and_wildcards(string queries, string expected) =>
        Assert.Equal(expected, Text(Full.List(queries.Split('|'))));

    [Theory]
    [InlineData("base:allocation", "base:allocation")]
    [InlineData("byre:joint|qemu:dirty-bitmap:b0|base:allocation|base:allocation", "base:allocation qemu:dirty-bitmap:b0 byre:joint")]
    [InlineData("qemu:joint-allocation|qemu:no-such", "qemu:joint-allocation")]
    [InlineData("base:", "")]
    [InlineData("qemu:", "")]
    [InlineData("qemu:dirty-bitmap:", "")]
    [InlineData("byre:", "")]
    [InlineData("", "")]
    public void A_choice_takes_names_only(string queries, string expected) =>
        Assert.Equal(expected, Text(Full.Select(queries.Split('|'))));

    [Fact]
    public void A_choice_without_a_query_is_empty() => Assert.Empty(Full.Select([]));

    private static string Text(IEnumerable<MetaContext> contexts) => string.Join(' ', contexts.Select(c => c.Name));
}
