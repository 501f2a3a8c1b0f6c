using System.Diagnostics;
using System.Runtime.InteropServices;
using Byre.Nodes;

namespace Byre.Storage.Linux;

/// <summary>
/// The advisory locks by which processes that use one image tell each other what they do, byte-compatible with QEMU's:
/// a read lock on byte 100 + n says "I use permission n", one on byte 200 + n "I do not share permission n".
/// Open-file-description locks, so they go with the descriptor.
/// </summary>
/// <remarks>
/// A process may be in the way for an instant only: one that is just being started, with a copy of a descriptor that its parent
/// has closed, or one that looks for locks, which takes its own meanwhile. So a refusal is told only after some tries.
/// </remarks>
internal sealed unsafe class PermissionLocks(int fd, string fileName)
{
    private const int ShortestPause = 5; // milliseconds
    private const int LongestPause = 15;
    private const long UsedBase = 100;
    private const long UnsharedBase = 200;
    private const int Count = 4;

    private Permissions usedLocked;
    private Permissions unsharedLocked;
    private PermissionSet pending = PermissionSet.Nothing;
    private PermissionSet committed = PermissionSet.Nothing;
    private bool unsupported;

    /// <summary>For how long locks are asked for again that somebody else holds.</summary>
    internal TimeSpan Patience { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Takes the locks of the new set beside those of the old one, and looks for others in conflict.</summary>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Locked"/>: another process is in the way, and was for as long as <see cref="Patience"/>.
    /// </exception>
    internal void Prepare(PermissionSet wanted)
    {
        pending = wanted;
        var began = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                Take(wanted.Used, ~wanted.Shared & Permissions.All);
                CheckConflicts(wanted);
                return;
            }
            catch (BlockException refused)
            {
                Abort();
                if (refused.Code != ErrorCode.Locked || Stopwatch.GetElapsedTime(began) >= Patience)
                {
                    throw;
                }
            }

            Thread.Sleep(Random.Shared.Next(ShortestPause, LongestPause + 1)); // of differing lengths, as two may try at once
        }
    }

    /// <summary>The prepared set holds: gives back what only the old one needed.</summary>
    internal void Commit()
    {
        committed = pending;
        Release(committed);
    }

    /// <summary>The prepared set was given up: gives back what only it needed.</summary>
    internal void Abort() => Release(committed);

    /// <summary>
    /// Gives everything back at once. Closing the file alone would not, while a process that this one is about to start still
    /// has a copy of the descriptor.
    /// </summary>
    internal void Close() => Release(PermissionSet.Nothing);

    private void Release(PermissionSet keep)
    {
        for (var i = 0; i < Count; i++)
        {
            var bit = (Permissions)(1 << i);
            if ((usedLocked & bit) != 0 && (keep.Used & bit) == 0)
            {
                Set(UsedBase + i, LibC.Unlock);
                usedLocked &= ~bit;
            }

            if ((unsharedLocked & bit) != 0 && (keep.Shared & bit) != 0)
            {
                Set(UnsharedBase + i, LibC.Unlock);
                unsharedLocked &= ~bit;
            }
        }
    }

    private void Take(Permissions used, Permissions unshared)
    {
        for (var i = 0; i < Count && !unsupported; i++)
        {
            var bit = (Permissions)(1 << i);
            if ((used & bit & ~usedLocked) != 0 && Lock(UsedBase + i, bit))
            {
                usedLocked |= bit;
            }

            if ((unshared & bit & ~unsharedLocked) != 0 && Lock(UnsharedBase + i, bit))
            {
                unsharedLocked |= bit;
            }
        }
    }

    private bool Lock(long offset, Permissions bit)
    {
        var errno = Set(offset, LibC.ReadLock);
        if (errno is LibC.Invalid or LibC.NoSystemCall or LibC.NotSupported or LibC.NoLocks)
        {
            unsupported = true; // a file system or kernel without such locks: work without, as QEMU's "auto" does
            return false;
        }

        return errno == 0 ? true : throw Conflict(bit, shared: offset >= UnsharedBase);
    }

    private int Set(long offset, short type)
    {
        LibC.FileLock fl = new() { Type = type, Whence = 0, Start = offset, Length = 1 };
        int result;
        do
        {
            result = LibC.FileControl(fd, LibC.SetLock, &fl);
        }
        while (result < 0 && Marshal.GetLastPInvokeError() == LibC.Interrupted);
        return result < 0 ? Marshal.GetLastPInvokeError() : 0;
    }

    private void CheckConflicts(PermissionSet wanted)
    {
        for (var i = 0; i < Count && !unsupported; i++)
        {
            var bit = (Permissions)(1 << i);
            if ((wanted.Used & bit) != 0 && IsHeldByOther(UnsharedBase + i))
            {
                throw Conflict(bit, shared: false);
            }

            if ((wanted.Shared & bit) == 0 && IsHeldByOther(UsedBase + i))
            {
                throw Conflict(bit, shared: true);
            }
        }
    }

    private bool IsHeldByOther(long offset)
    {
        LibC.FileLock fl = new() { Type = LibC.WriteLock, Whence = 0, Start = offset, Length = 1 };
        return LibC.FileControl(fd, LibC.GetLock, &fl) == 0 && fl.Type != LibC.Unlock;
    }

    private BlockException Conflict(Permissions bit, bool shared) => new(
        ErrorCode.Locked,
        $"'{fileName}' is in use by another process, which {(shared ? "has the permission" : "keeps from others the permission")} \"{PermissionNames.Of(bit)}\"",
        fileName);
}
