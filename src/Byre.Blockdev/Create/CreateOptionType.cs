namespace Byre.Blockdev.Create;

/// <summary>What the value of a creation option is.</summary>
public enum CreateOptionType
{
    /// <summary>A text.</summary>
    Text,

    /// <summary>On or off.</summary>
    Switch,

    /// <summary>A size in bytes, with an optional suffix.</summary>
    Size,

    /// <summary>A whole number.</summary>
    Number,
}
