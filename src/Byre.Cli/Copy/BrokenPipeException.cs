namespace Byre.Cli.Copy;

/// <summary>Whoever read what is copied does not want more: no failure to tell of.</summary>
internal sealed class BrokenPipeException : Exception;
