using System.Globalization;
using System.Numerics;
using Byre.Cli.NbdTools;
using Byre.Nbd.Protocol;

namespace Byre.Cli.NbdInfo;

/// <summary>What the flags of a metadata context mean, in words.</summary>
/// <param name="context">The context's name.</param>
/// <param name="bitmaps">For byre:joint: the names of the export's bitmaps, in their order.</param>
/// <param name="paint">Colours for lines of a map.</param>
internal sealed class MapWords(string context, IReadOnlyList<string> bitmaps, Paint paint)
{
    private const string Hole = "hole";
    private const string Zero = "zero";

    /// <summary>The words, or null where there are none.</summary>
    public string? Of(ulong flags) => context switch
    {
        NbdContextNames.BaseAllocation => flags switch
        {
            0 => "data",
            (ulong)NbdAllocation.Hole => Hole,
            (ulong)NbdAllocation.Zero => Zero,
            (ulong)(NbdAllocation.Hole | NbdAllocation.Zero) => $"{Hole},{Zero}",
            _ => null,
        },
        NbdContextNames.AllocationDepth => flags switch
        {
            0 => "absent",
            1 => "local",
            _ => string.Create(CultureInfo.InvariantCulture, $"backing depth {flags}"),
        },
        NbdContextNames.JointAllocation when flags < 16 => Joint(flags),
        NbdContextNames.Joint when flags < 1ul << (NbdContextNames.JointFirstBitmap + NbdContextNames.JointBitmaps) => Joint(flags),
        _ when context.StartsWith(NbdContextNames.DirtyBitmapPrefix, StringComparison.Ordinal) => flags switch
        {
            0 => "clean",
            1 => "dirty",
            _ => null,
        },
        _ => null,
    };

    /// <summary>What a line with these flags begins with where there are colours.</summary>
    public string ColourOf(ulong flags) => context switch
    {
        NbdContextNames.BaseAllocation when flags == 0 => paint.BoldBlack,
        NbdContextNames.AllocationDepth => flags switch { 0 => "", 1 => paint.BoldWhiteOnBlack, _ => paint.OnWhite },
        NbdContextNames.JointAllocation or NbdContextNames.Joint =>
            (flags & (ulong)NbdJoint.Local) != 0 ? paint.BoldWhiteOnBlack : (flags & (ulong)NbdJoint.Backing) != 0 ? paint.OnWhite : "",
        _ when context.StartsWith(NbdContextNames.DirtyBitmapPrefix, StringComparison.Ordinal) =>
            flags switch { 0 => paint.Green, 1 => paint.Red, _ => "" },
        _ => "",
    };

    private string Joint(ulong flags)
    {
        var (hole, zero) = ((flags & (ulong)NbdJoint.Hole) != 0, (flags & (ulong)NbdJoint.Zero) != 0);
        var words = new List<string>();
        if (hole)
        {
            words.Add(Hole);
        }

        if (zero)
        {
            words.Add(Zero);
        }

        if (!hole && !zero)
        {
            words.Add("allocated");
        }

        var (local, backing) = ((flags & (ulong)NbdJoint.Local) != 0, (flags & (ulong)NbdJoint.Backing) != 0);
        if (local)
        {
            words.Add("local");
        }

        if (backing)
        {
            words.Add("backing");
        }

        if (!local && !backing)
        {
            words.Add("unallocated");
        }

        for (var dirty = flags >> NbdContextNames.JointFirstBitmap; dirty != 0; dirty &= dirty - 1)
        {
            var bitmap = BitOperations.TrailingZeroCount(dirty);
            words.Add("dirty:" + (bitmap < bitmaps.Count ? bitmaps[bitmap] : bitmap.ToString(CultureInfo.InvariantCulture)));
        }

        return string.Join(',', words);
    }
}
