using System.Runtime.InteropServices;
using Byre.Nbd.Transport;

namespace Byre.Nbd.Server;

/// <summary>The system calls to wait for many descriptors. Each returns -1 and sets errno on failure.</summary>
internal static unsafe partial class EpollCalls
{
    internal const int CloseOnExec = 0x80000;
    internal const int Add = 1;
    internal const int Delete = 2;
    internal const int Modify = 3;
    internal const uint Readable = 1;
    internal const uint OneShot = 1u << 30;

    /// <summary>struct epoll_event has no gap on x86 only.</summary>
    internal static int EventSize => RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.X86 ? 12 : 16;

    /// <summary>Where in an event the number of its descriptor lies.</summary>
    internal static int DataOffset => EventSize - sizeof(long);

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    internal static partial int Create(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    internal static partial int Control(ChannelHandle epoll, int operation, ChannelHandle descriptor, byte* change);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    internal static partial int ControlDescriptor(ChannelHandle epoll, int operation, int descriptor, byte* change);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    internal static partial int Wait(ChannelHandle epoll, byte* events, int count, int timeout);
}
