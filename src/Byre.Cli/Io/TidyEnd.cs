using System.Runtime.InteropServices;

namespace Byre.Cli.Io;

/// <summary>
/// While it lives, SIGTERM and SIGHUP still end the program as they end any, but take what the runtime has among the temporary
/// files along. It is for programs with nothing else to clean up. The runtime itself does so where SIGINT or SIGQUIT ends it.
/// </summary>
internal sealed class TidyEnd : IDisposable
{
    private readonly PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, End);
    private readonly PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, End);

    /// <inheritdoc/>
    public void Dispose()
    {
        terminate.Dispose();
        hangUp.Dispose();
    }

    private static void End(PosixSignalContext received)
    {
        received.Cancel = true;
        Signals.Raise(received.Signal == PosixSignal.SIGTERM ? 15 : 1);
    }
}
