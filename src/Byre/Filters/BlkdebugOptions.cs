using System.Collections.ObjectModel;
using Byre.Nodes;

namespace Byre.Filters;

/// <summary>What the blkdebug driver does, under the names of QEMU's options (BlockdevOptionsBlkdebug). All sizes are in bytes.</summary>
public sealed record BlkdebugOptions
{
    /// <summary>The name of the file that all rules come from, empty where there are none; null where options were given besides.</summary>
    public string? ConfigName { get; init; }

    /// <summary>The options that decide what it does, as they were given: JSON values by their keys (see <see cref="IGivenOptions"/>).</summary>
    public IReadOnlyDictionary<string, string> Given { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <summary>Errors to inject, in the order in which they were given.</summary>
    public IReadOnlyList<BlkdebugErrorRule> Errors { get; init; } = [];

    /// <summary>State changes, in the order in which they were given.</summary>
    public IReadOnlyList<BlkdebugStateRule> States { get; init; } = [];

    /// <summary>The request alignment to pretend, a power of two; 0 keeps the child's.</summary>
    public long Align { get; init; }

    /// <summary>The longest transfer to pretend, a multiple of the alignment; 0 keeps the child's.</summary>
    public long MaxTransfer { get; init; }

    /// <summary>The best length of write-zeroes to pretend, a multiple of the alignment; 0 keeps the child's.</summary>
    public long OptimalWriteZeroes { get; init; }

    /// <summary>The longest write-zeroes to pretend, a multiple of the best length; 0 keeps the child's.</summary>
    public long MaxWriteZeroes { get; init; }

    /// <summary>The best length of discards to pretend, a multiple of the alignment; 0 keeps the child's.</summary>
    public long OptimalDiscard { get; init; }

    /// <summary>The longest discard to pretend, a multiple of the best length; 0 keeps the child's.</summary>
    public long MaxDiscard { get; init; }

    /// <summary>Permissions to use on the child besides those that the node's own users make necessary.</summary>
    public Permissions TakeChildPermissions { get; init; }

    /// <summary>Permissions not to share on the child besides those that cannot be shared anyway.</summary>
    public Permissions UnshareChildPermissions { get; init; }

    /// <summary>Checks the numbers against each other and the child's limits.</summary>
    /// <returns>The limits that the node shows.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>.</exception>
    internal BlockLimits MakeLimits(BlockLimits child)
    {
        const int MaxAlignment = 64 * 1024;
        if (Align != 0 && (Align is < 0 or > MaxAlignment || (Align & (Align - 1)) != 0))
        {
            throw Invalid("align", Align, $"a power of two up to {MaxAlignment}");
        }

        var align = Align == 0 ? child.RequestAlignment : Math.Max((int)Align, child.RequestAlignment);
        Check("max-transfer", MaxTransfer, align, int.MaxValue);
        Check("opt-write-zero", OptimalWriteZeroes, align, long.MaxValue);
        Check("max-write-zero", MaxWriteZeroes, Math.Max(align, OptimalWriteZeroes), long.MaxValue);
        Check("opt-discard", OptimalDiscard, align, long.MaxValue);
        Check("max-discard", MaxDiscard, Math.Max(align, OptimalDiscard), long.MaxValue);
        return child with
        {
            RequestAlignment = align,
            MaxTransfer = MaxTransfer == 0 ? child.MaxTransfer : (int)MaxTransfer,
            WriteZeroesAlignment = OptimalWriteZeroes == 0 ? child.WriteZeroesAlignment : OptimalWriteZeroes,
            MaxWriteZeroes = MaxWriteZeroes == 0 ? child.MaxWriteZeroes : MaxWriteZeroes,
            DiscardAlignment = OptimalDiscard == 0 ? child.DiscardAlignment : OptimalDiscard,
            MaxDiscard = MaxDiscard == 0 ? child.MaxDiscard : MaxDiscard,
        };
    }

    private static void Check(string name, long value, long multiple, long max)
    {
        if (value != 0 && (value < 0 || value > max || value % multiple != 0))
        {
            throw Invalid(name, value, $"a multiple of {multiple} up to {max}");
        }
    }

    private static BlockException Invalid(string name, long value, string rule) =>
        new(ErrorCode.Invalid, $"blkdebug: {name}={value} must be {rule}.");
}
