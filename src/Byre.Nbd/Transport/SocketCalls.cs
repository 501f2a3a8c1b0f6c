using System.Runtime.InteropServices;

namespace Byre.Nbd.Transport;

/// <summary>The system calls of connected sockets. Each returns -1 and sets errno on failure.</summary>
internal static unsafe partial class SocketCalls
{
    internal const int DontWait = 0x40;
    internal const int WaitAll = 0x100;
    internal const int NoSignal = 0x4000;
    internal const short PollIn = 1;
    internal const short PollOut = 4;
    internal const short PollError = 8;
    internal const short PollHangUp = 16;
    internal const int DuplicateCloseOnExec = 1030;
    internal const int GetStatusFlags = 3;
    internal const int SetStatusFlags = 4;
    internal const int NonBlocking = 0x800;
    internal const int UnixFamily = 1;
    internal const int StreamCloseOnExec = 1 | 0x80000;
    internal const int SocketLevel = 1;
    internal const int SendBufferSize = 7;
    internal const int ReceiveBufferSize = 8;
    internal const int KeepAlive = 9;
    internal const int ReceiveTimeout = 20;
    internal const int SendTimeout = 21;
    internal const int TcpLevel = 6;
    internal const int TcpNoDelay = 1;
    internal const int EventNonBlockingCloseOnExec = 0x800 | 0x80000;

    internal const int Interrupted = 4;
    internal const int Again = 11;

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    internal static partial nint Receive(ChannelHandle socket, void* buffer, nint length, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    internal static partial nint Send(ChannelHandle socket, void* buffer, nint length, int flags);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    internal static partial nint SendMessage(ChannelHandle socket, MessageHeader* message, int flags);

    [LibraryImport("libc", EntryPoint = "shutdown", SetLastError = true)]
    internal static partial int Shutdown(ChannelHandle socket, int how);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    internal static partial int Poll(PollEntry* entries, nuint count, int timeout);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int Control(int descriptor, int command, int argument);

    [LibraryImport("libc", EntryPoint = "socketpair", SetLastError = true)]
    internal static partial int SocketPair(int family, int type, int protocol, int* descriptors);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    internal static partial int SetOption(ChannelHandle socket, int level, int name, void* value, uint length);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    internal static partial int EventDescriptor(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    internal static partial nint Read(ChannelHandle descriptor, void* buffer, nint length);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    internal static partial nint Write(ChannelHandle descriptor, void* buffer, nint length);

    [LibraryImport("libc", EntryPoint = "close")]
    internal static partial int Close(nint descriptor);

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct PollEntry
    {
        internal int Descriptor;
        internal short Events;
        internal short Returned;
    }

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        internal void* Base;
        internal nint Length;
    }

    /// <summary>struct msghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct MessageHeader
    {
        internal void* Name;
        internal uint NameLength;
        internal IoVector* Vectors;
        internal nint VectorCount;
        internal void* Control;
        internal nint ControlLength;
        internal int Flags;
    }
}
