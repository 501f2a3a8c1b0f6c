using System.Globalization;
using System.Text;
using Byre.Blockdev;
using Byre.Blockdev.Create;

namespace Byre.Cli.Img;

/// <summary>Lists of a format's options on the command line (-o).</summary>
internal static class ImgOptions
{
    private const int NameWidth = 22;

    /// <summary>Reads all lists of an option, in their order.</summary>
    /// <param name="arguments">The arguments.</param>
    /// <param name="name">The option.</param>
    /// <param name="wantsHelp">One of the lists asks for help ("help" or "?").</param>
    /// <exception cref="ImgFailure">A list is empty, or begins or ends with a comma.</exception>
    public static List<KeyValuePair<string, string?>> Read(ImgArguments arguments, string name, out bool wantsHelp)
    {
        var result = new List<KeyValuePair<string, string?>>();
        wantsHelp = false;
        foreach (var list in arguments.Values(name))
        {
            if (list.Length == 0 || list[0] == ',' || (list.Length - list.AsSpan().TrimEnd(',').Length) % 2 != 0)
            {
                throw new ImgFailure($"'{list}' is no list of options ('name=value,...')");
            }

            foreach (var item in OptionTree.ParseList(list))
            {
                wantsHelp |= item is { Key: "help" or "?", Value: null };
                result.Add(item);
            }
        }

        return result;
    }

    /// <summary>What options a format has, laid out as qemu-img does.</summary>
    /// <param name="format">The format.</param>
    /// <param name="withFile">Those of the file below, too.</param>
    /// <exception cref="ImgFailure">Images of that format cannot be created.</exception>
    public static string Describe(string format, bool withFile)
    {
        var options = FormatRegistry.CreateOptionDescriptions(format)
            ?? throw new ImgFailure($"Images of the format '{format}' cannot be created");
        var text = new StringBuilder(withFile ? "Supported options:\n" : $"Supported {format} options:\n");
        foreach (var option in options)
        {
            if (!withFile && (option.Name is "nocow" or "extent_size_hint" || (format == "raw" && option.Name != "size")
                || (format == "luks" && option.Name == "preallocation")))
            {
                continue;
            }

            Append(text, option);
        }

        if (!withFile)
        {
            text.Append("\nThe file below may have more options: name the image to see them, too.\n");
        }

        return text.ToString();
    }

    /// <summary>What options of an image of a format can be changed, laid out as qemu-img does.</summary>
    /// <param name="format">The format.</param>
    /// <exception cref="ImgFailure">Nothing of such an image can be changed.</exception>
    public static string DescribeAmendment(string format)
    {
        var options = FormatRegistry.AmendOptionDescriptions(format) ?? throw new ImgFailure(
            FormatRegistry.IsKnown(format) ? $"Nothing of an image of the format {format} can be changed" : $"There is no format '{format}'");
        var text = new StringBuilder($"Amend options for '{format}':\n");
        foreach (var option in options)
        {
            Append(text, option);
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, CreateOption option)
    {
        var type = option.Type switch
        {
            CreateOptionType.Switch => "bool (on/off)",
            CreateOptionType.Size => "size",
            CreateOptionType.Number => "num",
            _ => "str",
        };
        text.Append("  ").Append($"{option.Name}=<{type}>".PadRight(NameWidth)).Append(CultureInfo.InvariantCulture, $" - {option.Help}\n");
    }
}
