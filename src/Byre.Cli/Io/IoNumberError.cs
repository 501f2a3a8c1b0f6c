namespace Byre.Cli.Io;

/// <summary>What is wrong with a size.</summary>
internal enum IoNumberError
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>Not a number, or with something behind it that is no suffix.</summary>
    NotANumber,

    /// <summary>Negative, or over 2^63 - 1.</summary>
    OutOfRange,
}
