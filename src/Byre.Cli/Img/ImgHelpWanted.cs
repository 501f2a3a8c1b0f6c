namespace Byre.Cli.Img;

/// <summary>The verb's help is wanted, and nothing else.</summary>
internal sealed class ImgHelpWanted : Exception;
