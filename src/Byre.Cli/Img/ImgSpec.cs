namespace Byre.Cli.Img;

/// <summary>One option of a verb.</summary>
/// <param name="Name">Its long name, which is also what the verb asks for it by.</param>
/// <param name="Letter">Its short name, or '\0'.</param>
/// <param name="Value">Whether a value follows.</param>
internal readonly record struct ImgSpec(string Name, char Letter, ImgValue Value = ImgValue.None);
