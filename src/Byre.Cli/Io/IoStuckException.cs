namespace Byre.Cli.Io;

/// <summary>A command would wait forever for a request that stands at a breakpoint.</summary>
internal sealed class IoStuckException(string message) : Exception(message);
