namespace Byre.Cli.Img;

/// <summary>The command line is wrong: one line for a person, to which the place of the help is added.</summary>
internal sealed class ImgUsageException(string message) : Exception(message);
