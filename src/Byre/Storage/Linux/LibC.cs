using System.Runtime.InteropServices;

namespace Byre.Storage.Linux;

/// <summary>The system calls that .NET's own file API does not offer. Each returns -1 and sets errno on failure.</summary>
internal static unsafe partial class LibC
{
    internal const int OpenReadOnly = 0;
    internal const int OpenWriteOnly = 1;
    internal const int OpenReadWrite = 2;
    internal const int OpenCreate = 0x40;
    internal const int OpenCloseOnExec = 0x80000;

    /// <summary>Opening a pipe does not wait for its other end; nothing else for files and disks.</summary>
    internal const int OpenNonBlocking = 0x800;

    internal const int NoWait = 8;
    internal const int SeekCurrent = 1;
    internal const int SeekEnd = 2;
    internal const int SeekData = 3;
    internal const int SeekHole = 4;

    internal const int KeepSize = 1;
    internal const int PunchHole = 2;
    internal const int ZeroRange = 16;

    internal const uint SyncStart = 2;
    internal const uint SyncWhole = 7;
    internal const int NotNeeded = 4;

    internal const short PollIn = 1;
    internal const short PollOut = 4;
    internal const int SetPipeSize = 1031;
    internal const int DuplicateCloseOnExec = 1030;
    internal const int GetDescriptorFlags = 1;
    internal const int CloseOnExec = 1;
    internal const int GetStatusFlags = 3;
    internal const int OpenAppend = 0x400;
    internal const int CurrentDirectory = -100;

    internal const int GetLock = 36;
    internal const int SetLock = 37;
    internal const short ReadLock = 0;
    internal const short WriteLock = 1;
    internal const short Unlock = 2;

    internal const uint CloneRange = 0x4020940d;
    internal const uint BlockGetSize64 = 0x80081272;
    internal const uint BlockReadOnly = 0x125e;
    internal const uint BlockSectorSize = 0x1268;
    internal const uint BlockDiscard = 0x1277;
    internal const uint BlockZeroOut = 0x127f;
    internal const uint GetFlags = 0x80086601;
    internal const uint SetFlags = 0x40086602;
    internal const int NoCowFlag = 0x00800000;

    internal const int NotPermitted = 1;
    internal const int Interrupted = 4;
    internal const int InputOutput = 5;
    internal const int BadDescriptor = 9;
    internal const int TryAgain = 11;
    internal const int NoDeviceData = 6;
    internal const int AccessDenied = 13;
    internal const int IsDirectory = 21;
    internal const int Invalid = 22;
    internal const int FileTooLarge = 27;
    internal const int NoSpace = 28;
    internal const int ReadOnlyFileSystem = 30;
    internal const int NoLocks = 37;
    internal const int NoSystemCall = 38;
    internal const int NotSupported = 95;
    internal const int QuotaExceeded = 122;

    /// <summary>O_DIRECT, which is not the same number everywhere.</summary>
    internal static int OpenDirect => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x10000 : 0x4000;

    /// <summary>Whether an error says that the storage failed or is full, and not that the call does not work on this file.</summary>
    internal static bool IsStorageFailure(int errno) => errno is InputOutput or FileTooLarge or NoSpace or QuotaExceeded;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "preadv2", SetLastError = true)]
    internal static partial nint PreadV2(int fd, IoVector* vectors, int count, long offset, int flags);

    [LibraryImport("libc", EntryPoint = "pread", SetLastError = true)]
    internal static partial nint Pread(int fd, void* buffer, nint length, long offset);

    [LibraryImport("libc", EntryPoint = "pwrite", SetLastError = true)]
    internal static partial nint Pwrite(int fd, void* buffer, nint length, long offset);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    internal static partial nint Read(int fd, void* buffer, nint length);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    internal static partial nint Write(int fd, void* buffer, nint length);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    internal static partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int FileControl(int fd, int command, nint argument);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    internal static partial int DataSync(int fd);

    [LibraryImport("libc", EntryPoint = "sync_file_range", SetLastError = true)]
    internal static partial int SyncFileRange(int fd, long offset, long length, uint flags);

    /// <summary>Unlike the others it returns what went wrong, and leaves errno alone.</summary>
    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    internal static partial int Advise(int fd, long offset, long length, int advice);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    internal static partial int Allocate(int fd, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    internal static partial int Truncate(int fd, long length);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    internal static partial long Seek(int fd, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "copy_file_range", SetLastError = true)]
    internal static partial nint CopyFileRange(int fdIn, long* offsetIn, int fdOut, long* offsetOut, nint length, uint flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    internal static partial int Control(int fd, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int FileControl(int fd, int command, FileLock* argument);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int StatX(int directory, string path, int flags, uint mask, byte* buffer);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct IoVector
    {
        internal void* Base;
        internal nint Length;
    }

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct PollEntry
    {
        internal int Descriptor;
        internal short Events;
        internal short Answer;
    }

    /// <summary>struct flock, 64-bit.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct FileLock
    {
        internal short Type;
        internal short Whence;
        internal long Start;
        internal long Length;
        internal int Pid;
    }

    /// <summary>struct file_clone_range.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct CloneRangeArgument
    {
        internal long SourceFd;
        internal ulong SourceOffset;
        internal ulong SourceLength;
        internal ulong TargetOffset;
    }
}
