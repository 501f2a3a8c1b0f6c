using Byre.Jobs;
using Spectre.Console;

namespace Byre.Cli.Img;

/// <summary>A bar on the terminal, with rate and remaining time, on standard error.</summary>
/// <param name="verb">What stands before it.</param>
internal sealed class ConvertBar(string verb)
{
    private ProgressTask? task;

    /// <summary>Shows the bar while the copy runs.</summary>
    public Task RunAsync(Func<Task> copy)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        return console.Progress()
            .AutoClear(true)
            .Columns(new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn(), new TransferSpeedColumn(), new RemainingTimeColumn())
            .StartAsync(async context =>
            {
                task = context.AddTask(verb);
                await copy().ConfigureAwait(false);
            });
    }

    /// <summary>Moves the bar.</summary>
    public void Report(CopyProgress value)
    {
        if (task is { } shown)
        {
            shown.MaxValue = Math.Max(1, value.BytesTotal);
            shown.Value = value.BytesTotal == 0 ? 1 : value.BytesDone;
        }
    }
}
