using System.Runtime.InteropServices;
using Byre.Cli.Img;
using Byre.Nbd.Transport;

namespace Byre.Cli.Serve;

/// <summary>--stdio: the client on standard input and output, as a connection. Where standard input is a socket it is used as it is.</summary>
internal sealed unsafe partial class StandardStreams
{
    private const int BufferBytes = 64 * 1024;

    private readonly Thread? toOutput;

    private StandardStreams(SocketChannel channel, Thread? toOutput)
    {
        Channel = channel;
        this.toOutput = toOutput;
    }

    /// <summary>The connection; belongs to whoever serves it.</summary>
    public SocketChannel Channel { get; }

    /// <summary>Makes the connection.</summary>
    /// <exception cref="ImgFailure">Standard input or output is closed.</exception>
    public static StandardStreams Open()
    {
        if (IsSocket(0))
        {
            var copy = Duplicate(0);
            return copy >= 0 ? new StandardStreams(SocketChannel.FromDescriptor(copy), null)
                : throw new ImgFailure($"--stdio: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");
        }

        var (ours, theirs) = SocketChannel.CreatePair();
        var toOutput = new Thread(() => ToOutput(theirs)) { IsBackground = true, Name = "output" };
        new Thread(() => FromInput(theirs)) { IsBackground = true, Name = "input" }.Start();
        toOutput.Start();
        return new StandardStreams(ours, toOutput);
    }

    /// <summary>Waits until what the server has sent is written, for a while.</summary>
    public void Finish() => toOutput?.Join(TimeSpan.FromSeconds(5));

    private static void FromInput(SocketChannel channel)
    {
        var buffer = new byte[BufferBytes];
        using var input = Console.OpenStandardInput();
        try
        {
            for (int count; (count = input.Read(buffer)) > 0;)
            {
                channel.Send(buffer.AsSpan(0, count));
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The server has closed the connection.
        }

        channel.ShutdownSend();
    }

    private static void ToOutput(SocketChannel channel)
    {
        var buffer = new byte[BufferBytes];
        using var output = Console.OpenStandardOutput();
        try
        {
            for (int count; (count = channel.Receive(buffer)) > 0;)
            {
                output.Write(buffer.AsSpan(0, count));
                output.Flush();
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            channel.Shutdown(); // the client has gone
        }
    }

    private static bool IsSocket(int descriptor)
    {
        int type;
        uint length = sizeof(int);
        return GetOption(descriptor, level: 1, name: 3, &type, &length) == 0; // SOL_SOCKET, SO_TYPE
    }

    private static int Duplicate(int descriptor) => Control(descriptor, 1030, 0); // F_DUPFD_CLOEXEC

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    private static partial int GetOption(int descriptor, int level, int name, void* value, uint* length);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(int descriptor, int command, int argument);
}
