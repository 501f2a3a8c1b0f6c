namespace Byre.Cli.Img;

/// <summary>Whether an option takes a value.</summary>
internal enum ImgValue
{
    /// <summary>It takes none.</summary>
    None,

    /// <summary>It takes one: behind "=", in the same word as the letter, or in the next word.</summary>
    Required,

    /// <summary>One may follow "=" behind the long name.</summary>
    Optional,
}
