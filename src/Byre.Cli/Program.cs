namespace Byre.Cli;

internal static class Program
{
    private static int Main(string[] args)
    {
        Console.Error.WriteLine("byre: no applet yet");
        return args.Length == 0 ? 1 : 2;
    }
}
