using System.Numerics;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Says what an image cannot be changed to, before anything is changed.</summary>
internal static class AmendChecks
{
    /// <summary>Throws where a change is not possible.</summary>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/> or <see cref="ErrorCode.NotSupported"/>, with the reason.</exception>
    public static void Check(Qcow2AmendOptions options, Qcow2Header header, string name)
    {
        var version = options.Version ?? header.Version;
        if (version is not (2 or 3))
        {
            throw Invalid("The version of the format is 2 or 3");
        }

        var bits = options.RefcountBits ?? header.RefcountBits;
        if (bits is < 1 or > 64 || !BitOperations.IsPow2(bits))
        {
            throw Invalid($"refcount_bits must be a power of two from 1 to 64, not {bits}");
        }

        if (version < 3 && bits != 16)
        {
            throw Invalid($"'{name}' would have reference counts of {bits} bits: version 2 (compat=0.10) has 16 bits only");
        }

        if (version < 3 && options.LazyRefcounts == true)
        {
            throw Invalid($"'{name}' cannot have lazy reference counts in version 2 (compat=0.10)");
        }

        if (options.DataFileRaw == true && (header.Autoclear & AutoclearFeatures.RawExternalData) == 0)
        {
            throw Invalid($"data_file_raw cannot be set for an image that exists ('{name}')");
        }

        if (!string.IsNullOrEmpty(options.DataFileName) && !header.HasDataFile)
        {
            throw Invalid($"'{name}' has no external data file, and cannot be given one");
        }

        if (version < header.Version)
        {
            CheckDowngrade(header, name);
        }
    }

    private static void CheckDowngrade(Qcow2Header header, string name)
    {
        if (header.HasDataFile)
        {
            throw Invalid($"'{name}' has an external data file, which version 2 does not know");
        }

        if ((header.Incompatible & ~IncompatibleFeatures.Dirty) != 0)
        {
            throw new BlockException(
                ErrorCode.NotSupported, $"'{name}' has features that version 2 does not know ({header.Incompatible & ~IncompatibleFeatures.Dirty})", name);
        }

        if (header.FindExtension(HeaderExtensionTypes.Bitmaps) is not null)
        {
            throw new BlockException(ErrorCode.NotSupported, $"'{name}' has persistent bitmaps, which version 2 does not know: remove them first", name);
        }
    }

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
