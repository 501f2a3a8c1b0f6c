using System.Runtime.InteropServices;

namespace Byre.Cli.Io;

/// <summary>Whether anybody still reads what goes to standard output; the runtime hides it, as it has the system ignore SIGPIPE.</summary>
internal static partial class OutputPipe
{
    private const int StandardOutput = 1;
    private const short Error = 8; // POLLERR: a pipe without a reader

    /// <summary>Standard output is a pipe that nobody reads any more: what is written to it is lost.</summary>
    public static bool HasNoReader()
    {
        var question = new Question { Descriptor = StandardOutput };
        return OperatingSystem.IsLinux() && Poll(ref question, 1, 0) > 0 && (question.Answer & Error) != 0;
    }

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(ref Question questions, nuint count, int milliseconds);

    [StructLayout(LayoutKind.Sequential)]
    private struct Question
    {
        public int Descriptor;
        public short Wanted;
        public short Answer;
    }
}
