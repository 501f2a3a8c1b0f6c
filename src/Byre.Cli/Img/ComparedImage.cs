using Byre.Graph;
using Byre.Nodes;

namespace Byre.Cli.Img;

/// <summary>One side of a comparison.</summary>
internal sealed class ComparedImage
{
    private readonly StatusReader statuses;
    private readonly BlockEdge edge;
    private BlockStatus current;

    private ComparedImage(BlockEdge edge, string name, StatusReader statuses)
    {
        this.edge = edge;
        Name = name;
        this.statuses = statuses;
    }

    /// <summary>What messages call it.</summary>
    public string Name { get; }

    /// <summary>Bytes.</summary>
    public long Length => edge.Length;

    /// <summary>Takes an image.</summary>
    /// <param name="edge">The edge to it, kept by its owner.</param>
    /// <param name="name">What messages call it.</param>
    /// <param name="isStrict">
    /// What it says of its allocation is compared too: then the holes of its file count only where qemu-img counts them.
    /// </param>
    /// <exception cref="ImgFailure">Status 3: the image's tables cannot be read.</exception>
    public static async ValueTask<ComparedImage> OfAsync(BlockEdge edge, string name, bool isStrict)
    {
        var chain = new BackingChain(edge);
        try
        {
            var precision = isStrict ? await PreallocationProbe.PrecisionForAsync(chain).ConfigureAwait(false) : ExtentPrecision.Exact;
            return new ComparedImage(edge, name, new StatusReader(chain, precision));
        }
        catch (BlockException e)
        {
            throw new ImgFailure($"'{name}': its allocation cannot be told: {e.Message}", 3, e);
        }
    }

    /// <summary>What is at an offset, up to <paramref name="end"/> at most. Ask in ascending order.</summary>
    /// <exception cref="ImgFailure">Status 3: the image's tables cannot be read.</exception>
    public async ValueTask<BlockStatus> StatusAsync(long at, long end)
    {
        try
        {
            if (current.End <= at || current.Start > at)
            {
                current = await statuses.AtAsync(at, Length).ConfigureAwait(false);
            }

            return current.From(at).Until(end);
        }
        catch (BlockException e)
        {
            throw new ImgFailure($"'{Name}': what lies at offset {at} cannot be told: {e.Message}", 3, e);
        }
    }

    /// <summary>Reads.</summary>
    /// <exception cref="ImgFailure">Status 4: it cannot be read.</exception>
    public async ValueTask ReadAsync(long at, Memory<byte> buffer)
    {
        try
        {
            await edge.ReadAsync(at, buffer).ConfigureAwait(false);
        }
        catch (BlockException e)
        {
            throw new ImgFailure($"'{Name}': error while reading at offset {at}: {e.Message}", 4, e);
        }
    }
}
