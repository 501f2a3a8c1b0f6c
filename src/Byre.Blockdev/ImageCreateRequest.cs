using Byre.Graph;

namespace Byre.Blockdev;

/// <summary>What image is to be created.</summary>
public sealed record ImageCreateRequest
{
    /// <summary>Its name: a path, or "file:PATH".</summary>
    public required string FileName { get; init; }

    /// <summary>Its format: one for which <see cref="FormatRegistry.CreateOptionDescriptions"/> gives options.</summary>
    public string Format { get; init; } = "raw";

    /// <summary>Length of the virtual disk in bytes; null for that of the backing file, or the option "size".</summary>
    public long? Size { get; init; }

    /// <summary>Options as they were given, in their order (see <see cref="OptionTree.ParseList"/>); of two of a name the last one holds.</summary>
    public IReadOnlyList<KeyValuePair<string, string?>> Options { get; init; } = [];

    /// <summary>The backing file's name, as it will be stored; goes before the option "backing_file".</summary>
    public string? BackingFile { get; init; }

    /// <summary>The backing file's format; goes before the option "backing_fmt".</summary>
    public string? BackingFormat { get; init; }

    /// <summary>The backing file is not opened, and need not exist; the size must be given.</summary>
    public bool Unsafe { get; init; }

    /// <summary>The secrets that options refer to, or null; they belong to the caller and must last until the image is created.</summary>
    public SecretStore? Secrets { get; init; }

    /// <summary>Decides about files that the backing file names. By default none is opened.</summary>
    public OpenGate Gate { get; init; } = OpenGate.DenyAll;
}
