namespace Byre.Cli.NbdTools;

/// <summary>ANSI colours, as libnbd's tools use them, or none.</summary>
/// <param name="isOn">Colours are wanted.</param>
internal sealed class Paint(bool isOn)
{
    /// <summary>Colours are wanted.</summary>
    public bool IsOn => isOn;

    /// <summary>Bold black.</summary>
    public string BoldBlack => Code("1;30");

    /// <summary>Bold red.</summary>
    public string BoldRed => Code("1;31");

    /// <summary>Bold blue.</summary>
    public string BoldBlue => Code("1;34");

    /// <summary>Bold magenta.</summary>
    public string BoldMagenta => Code("1;35");

    /// <summary>Bold white on black.</summary>
    public string BoldWhiteOnBlack => Code("1;37") + Code("40");

    /// <summary>On white.</summary>
    public string OnWhite => Code("47");

    /// <summary>Red.</summary>
    public string Red => Code("22;31");

    /// <summary>Green.</summary>
    public string Green => Code("22;32");

    /// <summary>Grey.</summary>
    public string Grey => Code("22;90");

    /// <summary>The terminal's own colours again.</summary>
    public string Reset => Code("0");

    /// <summary>Whether colours are wanted: as the options say, else where the output is a terminal.</summary>
    public static Paint For(Img.ImgArguments options)
    {
        var isOn = !Console.IsOutputRedirected;
        foreach (var (name, _) in options.Options)
        {
            isOn = name switch
            {
                "color" or "colour" => true,
                "no-color" or "no-colour" => false,
                _ => isOn,
            };
        }

        return new Paint(isOn);
    }

    private string Code(string code) => isOn ? $"\e[{code}m" : "";
}
