using System.Globalization;
using Byre.Blockdev;
using Byre.Graph;

namespace Byre.Tests.Blockdev;

/// <summary>
/// What a long chain costs to open. What is allocated tells it, as that is the same on a busy machine; other tests would add
/// to it, so none runs meanwhile.
/// </summary>
[Collection(nameof(LongChain))]
public sealed class LongChainTests : IDisposable
{
    private readonly string directory = Directory.CreateTempSubdirectory("byre-long").FullName;

    public void Dispose() => Directory.Delete(directory, true);

    /// <summary>Attaching a layer costs what it changes, not the length of the chain: not all of it is solved each time.</summary>
    [Fact]
    public async Task A_chain_of_500_layers_costs_four_times_what_125_do()
    {
        for (var i = 0; i <= 500; i++)
        {
            await ImageCreator.CreateAsync(new ImageCreateRequest
            {
                FileName = At(i),
                Format = "qcow2",
                Size = 1 << 20,
                BackingFile = i == 0 ? null : At(i - 1),
                BackingFormat = i == 0 ? null : "qcow2",
                Unsafe = true,
                Gate = OpenGate.AllowAll,
            });
        }

        await CostAsync(20);
        var few = await CostAsync(125);
        var many = await CostAsync(500);
        Assert.True(many < 6 * few, $"{few} bytes for 125 layers, {many} for 500");
    }

    private async Task<long> CostAsync(int layers)
    {
        var before = GC.GetTotalAllocatedBytes(precise: true);
        await using (var image = await ImageOpener.OpenAsync(
            new OpenOptions { FileName = At(layers), Gate = OpenGate.AllowAll }, DefaultPermissions.ForUser(write: true)))
        {
            await image.Edge.WriteAsync(0, new byte[] { 7 });
        }

        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }

    private string At(int layer) => Path.Combine(directory, layer.ToString(CultureInfo.InvariantCulture));

    /// <summary>Runs by itself.</summary>
    [CollectionDefinition(nameof(LongChain), DisableParallelization = true)]
    public sealed class LongChain;
}
