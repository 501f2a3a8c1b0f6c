namespace Byre.Cli.Demo;

/// <summary>A step of the demo did not do what it promises; the message is one line for the user.</summary>
internal sealed class DemoException(string message) : Exception(message);
