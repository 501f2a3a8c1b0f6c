using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>
/// The names of images: paths, "PROTOCOL:..." and "json:{...}". A colon before the first slash ends a protocol's name, so a path
/// with one is written "./a:b" or "file:a:b".
/// </summary>
public static class FileNames
{
    private const string JsonPrefix = "json:";
    private const string FilePrefix = "file:";

    /// <summary>The name holds options: "json:{...}".</summary>
    public static bool IsJson(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name.StartsWith(JsonPrefix, StringComparison.Ordinal);
    }

    /// <summary>The JSON text of a "json:" name.</summary>
    public static string JsonOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name[JsonPrefix.Length..];
    }

    /// <summary>What stands before a colon that comes before the first slash; null for a path.</summary>
    public static string? ProtocolOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        var end = name.AsSpan().IndexOfAny(':', '/');
        return end >= 0 && name[end] == ':' ? name[..end] : null;
    }

    /// <summary>The path of a plain path or of "file:PATH".</summary>
    /// <returns>Null for names of other protocols and for "json:".</returns>
    public static string? PathOf(string name) => ProtocolOf(name) switch
    {
        null => name,
        "file" => name[FilePrefix.Length..],
        _ => null,
    };

    /// <summary>The name that means a path whatever is in it.</summary>
    public static string OfPath(string path) => ProtocolOf(path) is null ? path : "./" + path;

    /// <summary>
    /// The path a name inside an image leads to: a relative path begins at the directory of the image, as the image was named;
    /// "file:PATH" is taken as it is.
    /// </summary>
    /// <param name="image">The path of the image that says the name; empty where it has none, as is a name of an NBD export.</param>
    /// <param name="name">The name.</param>
    /// <returns>Null for what is no path.</returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.Invalid"/>: the name is relative, and the image has no path.</exception>
    public static string? Resolve(string image, string name)
    {
        ArgumentNullException.ThrowIfNull(image);
        if (ProtocolOf(name) is not null || name.StartsWith('/'))
        {
            return PathOf(name);
        }

        if (image.Length == 0 || NbdNames.IsNbd(image))
        {
            throw new BlockException(
                ErrorCode.Invalid, $"'{name}' is relative to the image that names it, which has no path: name it by an absolute path");
        }

        var slash = image.LastIndexOf('/');
        return slash < 0 ? name : image[..(slash + 1)] + name;
    }

    /// <summary>A name out of an image that nobody trusts: no control characters, and not for ever.</summary>
    internal static string Printable(string name)
    {
        const int longest = 200;
        var text = string.Create(Math.Min(name.Length, longest), name, static (span, name) =>
        {
            for (var i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(name[i]) ? '?' : name[i];
            }
        });
        return name.Length > longest ? text + "..." : text;
    }
}
