using System.Diagnostics;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>
/// What a server has said beyond what was asked for, so that a walk over an export asks for nothing twice. It holds for the
/// question that goes on where the last one ended, and for a moment only: others may change the export. What its user does
/// makes it worthless, when it begins and again when it is done, and so does a lost connection.
/// </summary>
/// <remarks>Lock order: the gate is a leaf.</remarks>
internal sealed class StatusRest
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(100); // a question more costs little then

    private readonly Lock gate = new();
    private readonly List<NbdStatusDescriptor> extents = [];
    private int next;
    private long offset;
    private long since;
    private int changes;

    /// <summary>The export is changed by its user, or was: what was said before is worthless, and what is being said too.</summary>
    public void Forget()
    {
        Interlocked.Increment(ref changes);
        if (Volatile.Read(ref next) >= 0)
        {
            lock (gate)
            {
                next = -1;
            }
        }
    }

    /// <summary>A mark of the moment a question is asked, for <see cref="Keep"/>.</summary>
    public int Mark => Volatile.Read(ref changes);

    /// <summary>Gives what is known from <see cref="ExtentList.End"/> on.</summary>
    /// <param name="into">The question.</param>
    /// <param name="make">Makes an extent of its start, length and flags.</param>
    public void Give(ExtentList into, Func<long, long, ulong, BlockExtent> make)
    {
        lock (gate)
        {
            if (next < 0 || offset != into.End || Stopwatch.GetElapsedTime(since) > Lifetime)
            {
                return;
            }

            while (next < extents.Count && !into.IsFull)
            {
                var extent = extents[next];
                var length = Math.Min((long)extent.Length, into.RangeEnd - offset);
                var end = into.End;
                into.Add(make(offset, length, extent.Flags));
                if (into.End == end)
                {
                    return; // the list has as many as it wants
                }

                offset += length;
                extents[next] = extent with { Length = extent.Length - (ulong)length };
                next += extents[next].Length == 0 ? 1 : 0;
            }
        }
    }

    /// <summary>Keeps an answer.</summary>
    /// <param name="start">Where it begins.</param>
    /// <param name="answer">The extents.</param>
    /// <param name="mark">The mark of when it was asked for: what was changed since makes it worthless.</param>
    public void Keep(long start, IReadOnlyList<NbdStatusDescriptor> answer, int mark)
    {
        lock (gate)
        {
            extents.Clear();
            extents.AddRange(answer);
            offset = start;
            since = Stopwatch.GetTimestamp();
            next = 0;
            Interlocked.MemoryBarrier(); // whoever changes something from now on sees that there is something to forget
            next = mark == Volatile.Read(ref changes) ? 0 : -1;
        }
    }
}
