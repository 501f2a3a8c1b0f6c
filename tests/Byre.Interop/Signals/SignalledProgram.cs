using System.Diagnostics;
using System.Globalization;
using Byre.TestTools;

namespace Byre.Interop.Signals;

/// <summary>
/// A program that is sent signals: it has their default dispositions, whatever this process inherited, and its end is told as the
/// system tells it, which the runtime does not.
/// </summary>
internal sealed class SignalledProgram : IDisposable
{
    public const int Hangup = 1;
    public const int Interrupt = 2;
    public const int Kill = 9;
    public const int Terminate = 15;

    // Prints the program's process id, and at its end the wait status: the signal that ended it, or 256 times its exit status.
    private const string Starter =
        "$SIG{$_}='DEFAULT' for qw(INT TERM HUP PIPE); $|=1; $p=fork; if(!$p){exec @ARGV} print \"$p\\n\"; waitpid $p,0; print \"$?\\n\"";

    private static readonly char[] Digits = [.. "0123456789"];

    private readonly Process process;
    private readonly string id;
    private Task<(int Status, string Output)>? end;

    private SignalledProgram(Process process, Task<string> errors, string id)
    {
        this.process = process;
        this.id = id;
        Errors = errors;
    }

    /// <summary>What the program writes to standard output, until <see cref="EndAsync"/> is called.</summary>
    public StreamReader Output => process.StandardOutput;

    /// <summary>What it has written to standard error when it has ended.</summary>
    public Task<string> Errors { get; }

    /// <summary>Starts a program, without input.</summary>
    public static async Task<SignalledProgram> StartAsync(string directory, string program, params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo("perl", ["-e", Starter, program, .. arguments])
        {
            WorkingDirectory = directory, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        var process = Process.Start(start)!;
        process.StandardInput.Close();
        var errors = process.StandardError.ReadToEndAsync();
        return new SignalledProgram(process, errors, (await process.StandardOutput.ReadLineAsync())!);
    }

    /// <summary>Sends it a signal.</summary>
    public Task SignalAsync(int signal) => ExternalTool.RunAsync("kill", "/", string.Create(CultureInfo.InvariantCulture, $"-{signal}"), id);

    /// <summary>Waits for its end; may be called again.</summary>
    /// <returns>The wait status (a shell makes 128 + signal of a signal), and what of the output was not read.</returns>
    public Task<(int Status, string Output)> EndAsync() => end ??= ReadEndAsync();

    public void Dispose() => process.Dispose();

    private async Task<(int Status, string Output)> ReadEndAsync()
    {
        var rest = (await process.StandardOutput.ReadToEndAsync()).TrimEnd();
        await process.WaitForExitAsync();
        var last = rest.TrimEnd(Digits).Length; // what the program wrote need not end with a line
        return (int.Parse(rest[last..], CultureInfo.InvariantCulture), rest[..last]);
    }
}
