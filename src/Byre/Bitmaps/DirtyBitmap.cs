using System.Numerics;
using Byre.Nodes;

namespace Byre.Bitmaps;

/// <summary>
/// Which areas of a disk were written since the bitmap was last cleared. One bit stands for <see cref="Granularity"/> bytes.
/// All members may be called at the same time from several threads.
/// </summary>
/// <remarks>
/// Lock order: <c>gate</c> is a leaf; a merge takes the locks of both bitmaps one after the other. Records never wait for
/// anything but the lock. Members that change the bitmap by its user's will throw where <see cref="IsBusy"/>,
/// <see cref="IsReadOnly"/> or <see cref="IsInconsistent"/> forbid it.
/// </remarks>
public sealed class DirtyBitmap
{
    /// <summary>The longest name, in bytes of UTF-8.</summary>
    public const int MaxNameBytes = 1023;

    /// <summary>The least granularity, in bytes.</summary>
    public const long MinGranularity = 512;

    /// <summary>The greatest granularity, in bytes.</summary>
    public const long MaxGranularity = 1L << 31;

    private readonly Lock gate = new();
    private readonly int shift;
    private readonly HierarchicalBitmap bits;
    private HierarchicalBitmap? successor; // takes the records while the bitmap is frozen
    private long length;
    private volatile bool isEnabled;
    private volatile bool isReadOnly;

    /// <summary>A bitmap with nothing dirty.</summary>
    /// <param name="name">Its name, 1 to <see cref="MaxNameBytes"/> bytes.</param>
    /// <param name="length">The disk's length in bytes.</param>
    /// <param name="granularity">Bytes of a bit: a power of two from <see cref="MinGranularity"/> to <see cref="MaxGranularity"/>.</param>
    /// <param name="isInconsistent">It was stored by nobody who could vouch for it: it can only be removed.</param>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: the name or the granularity; <see cref="ErrorCode.TooLarge"/>: there would be more
    /// than 2^40 bits.
    /// </exception>
    public DirtyBitmap(string name, long length, long granularity, bool isInconsistent = false)
    {
        BitmapRules.CheckName(name);
        BitmapRules.CheckGranularity(granularity);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        Name = name;
        shift = BitOperations.Log2((ulong)granularity);
        this.length = length;
        IsInconsistent = isInconsistent;
        bits = new HierarchicalBitmap(isInconsistent ? 0 : CheckedBits(length));
    }

    /// <summary>The name.</summary>
    public string Name { get; }

    /// <summary>Bytes that one bit stands for.</summary>
    public long Granularity => 1L << shift;

    /// <summary>The disk's length in bytes.</summary>
    public long Length => Interlocked.Read(ref length);

    /// <summary>Writes are recorded.</summary>
    public bool IsEnabled => isEnabled;

    /// <summary>It is kept in the image when that is closed.</summary>
    public bool IsPersistent { get; internal set; }

    /// <summary>What it says must not be trusted; it can only be removed.</summary>
    public bool IsInconsistent { get; private set; }

    /// <summary>It belongs to an image that is open for reading only.</summary>
    public bool IsReadOnly
    {
        get => isReadOnly;
        internal set => isReadOnly = value;
    }

    /// <summary>A job uses it (<see cref="Freeze"/>).</summary>
    public bool IsBusy
    {
        get
        {
            lock (gate)
            {
                return successor is not null;
            }
        }
    }

    /// <summary>Bytes that its set bits stand for; what a job that uses it has not got yet is not counted.</summary>
    public long DirtyBytes
    {
        get
        {
            lock (gate)
            {
                return bits.Count << shift;
            }
        }
    }

    /// <summary>A byte is dirty.</summary>
    /// <param name="offset">Which, 0 to <see cref="Length"/> - 1.</param>
    public bool IsDirty(long offset)
    {
        lock (gate)
        {
            return bits[offset >> shift];
        }
    }

    /// <summary>The first dirty area in a range.</summary>
    /// <param name="from">Where the range begins.</param>
    /// <param name="end">Where it ends; cut to <see cref="Length"/>.</param>
    /// <param name="start">The area's first byte inside the range.</param>
    /// <param name="count">Its bytes inside the range.</param>
    /// <returns>False where nothing in the range is dirty.</returns>
    public bool TryNextDirty(long from, long end, out long start, out long count)
    {
        lock (gate)
        {
            end = Math.Min(end, length);
            if (from < end && bits.TryNextArea(from >> shift, BitsFor(end), out var bit, out var bitCount))
            {
                start = Math.Max(from, bit << shift);
                count = Math.Min(end, (bit + bitCount) << shift) - start;
                return true;
            }

            (start, count) = (0, 0);
            return false;
        }
    }

    /// <summary>The first clean byte in a range.</summary>
    /// <param name="from">Where the range begins.</param>
    /// <param name="end">Where it ends; cut to <see cref="Length"/>.</param>
    /// <returns>The byte, or -1.</returns>
    public long NextClean(long from, long end)
    {
        lock (gate)
        {
            end = Math.Min(end, length);
            var bit = from < end ? bits.NextClear(from >> shift, BitsFor(end)) : -1;
            return bit < 0 ? -1 : Math.Max(from, bit << shift);
        }
    }

    /// <summary>Records from now on, or no longer.</summary>
    /// <param name="enabled">Record.</param>
    /// <exception cref="BlockException">The bitmap is in use, read-only or inconsistent.</exception>
    public void Enable(bool enabled)
    {
        lock (gate)
        {
            CheckUsable(changes: true);
            isEnabled = enabled;
        }
    }

    /// <summary>Nothing is dirty any more.</summary>
    /// <exception cref="BlockException">The bitmap is in use, read-only or inconsistent.</exception>
    public void Clear()
    {
        lock (gate)
        {
            CheckUsable(changes: true);
            bits.Clear(0, bits.Length);
        }
    }

    /// <summary>A range becomes dirty, whether or not the bitmap records.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="count">Bytes; what lies behind the end is left out.</param>
    /// <exception cref="BlockException">The bitmap is in use, read-only or inconsistent.</exception>
    public void Set(long offset, long count)
    {
        lock (gate)
        {
            CheckUsable(changes: true);
            Mark(bits, offset, count);
        }
    }

    /// <summary>A range becomes clean: all units that it touches.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="count">Bytes; what lies behind the end is left out.</param>
    /// <exception cref="BlockException">The bitmap is in use, read-only or inconsistent.</exception>
    public void Reset(long offset, long count)
    {
        lock (gate)
        {
            CheckUsable(changes: true);
            var end = Math.Min(length, offset + count);
            if (offset < end)
            {
                bits.Clear(offset >> shift, BitsFor(end) - (offset >> shift));
            }
        }
    }

    /// <summary>What is dirty in another bitmap becomes dirty here. The granularities may differ.</summary>
    /// <param name="source">A bitmap of a disk of the same length.</param>
    /// <exception cref="BlockException">The lengths differ, or one of the bitmaps cannot be used for it.</exception>
    public void Merge(DirtyBitmap source)
    {
        ArgumentNullException.ThrowIfNull(source);
        lock (gate)
        {
            CheckUsable(changes: true);
        }

        lock (source.gate)
        {
            source.CheckUsable(changes: false);
        }

        if (source.Length != Length)
        {
            throw new BlockException(
                ErrorCode.Invalid, $"The bitmaps '{Name}' and '{source.Name}' are of disks of {Length} and {source.Length} bytes and cannot be merged");
        }

        if (ReferenceEquals(source, this))
        {
            return;
        }

        if (source.shift == shift)
        {
            BitmapMerge.Words(this, source);
            return;
        }

        for (var at = 0L; source.TryNextDirty(at, long.MaxValue, out var start, out var count); at = start + count)
        {
            lock (gate)
            {
                Mark(bits, start, count);
            }
        }
    }

    /// <summary>
    /// Hands the bitmap to a job: it does not change until <see cref="Thaw"/>. Writes are recorded aside meanwhile, if the
    /// bitmap records.
    /// </summary>
    /// <exception cref="BlockException">The bitmap is in use already, read-only or inconsistent.</exception>
    public void Freeze()
    {
        lock (gate)
        {
            CheckUsable(changes: true);
            successor = new HierarchicalBitmap(bits.Length);
        }
    }

    /// <summary>Takes the bitmap back from a job.</summary>
    /// <param name="isDone">
    /// The job has done what was dirty: only what was written meanwhile is. Else that is added to what was dirty before.
    /// </param>
    /// <exception cref="InvalidOperationException">No job has it.</exception>
    public void Thaw(bool isDone)
    {
        lock (gate)
        {
            var written = successor ?? throw new InvalidOperationException("The bitmap is not in use.");
            if (isDone)
            {
                bits.Clear(0, bits.Length);
            }

            bits.Merge(written);
            successor = null;
        }
    }

    /// <summary>A range was written: it becomes dirty where the bitmap records.</summary>
    internal void Record(long offset, long count)
    {
        if (isEnabled)
        {
            lock (gate)
            {
                if (isEnabled)
                {
                    Mark(successor ?? bits, offset, count);
                }
            }
        }
    }

    /// <summary>The disk has another length: what is behind its end is gone, what comes is clean.</summary>
    internal void Resize(long newLength, bool growsOnly = false)
    {
        lock (gate)
        {
            if (newLength == length || (growsOnly && newLength < length))
            {
                return;
            }

            if (growsOnly && BitsFor(newLength) > HierarchicalBitmap.MaxLength)
            {
                (isEnabled, IsInconsistent) = (false, true); // a file that grew past all bounds cannot be told of
            }

            if (!IsInconsistent)
            {
                var count = CheckedBits(newLength);
                bits.Resize(count);
                successor?.Resize(count);
            }

            Interlocked.Exchange(ref length, newLength);
        }
    }

    /// <summary>Throws unless the disk can have another length.</summary>
    /// <exception cref="BlockException">The bitmap is in use or inconsistent, or would have too many bits.</exception>
    internal void CheckResize(long newLength)
    {
        lock (gate)
        {
            CheckUsable(changes: false);
        }

        CheckedBits(newLength);
    }

    /// <summary>The bits that it takes to tell of a disk.</summary>
    internal long BitsFor(long bytes) => (bytes >> shift) + ((bytes & ((1L << shift) - 1)) != 0 ? 1 : 0);

    /// <summary>Reads or changes the bits; nothing else happens to them meanwhile, and nothing is awaited.</summary>
    internal void Access(Action<HierarchicalBitmap> use)
    {
        lock (gate)
        {
            use(bits);
        }
    }

    /// <summary>The bits as they are stored: what was recorded beside a job that uses the bitmap included. Nothing changes them meanwhile.</summary>
    internal HierarchicalBitmap BitsToStore()
    {
        lock (gate)
        {
            if (successor is null)
            {
                return bits;
            }

            var both = new HierarchicalBitmap(bits.Length);
            both.Merge(bits);
            both.Merge(successor);
            return both;
        }
    }

    /// <summary>Throws unless the bitmap can be used by its user's will.</summary>
    /// <param name="changes">It will be changed.</param>
    /// <exception cref="BlockException">It is in use, inconsistent, or read-only.</exception>
    internal void CheckUsable(bool changes)
    {
        lock (gate)
        {
            if (successor is not null)
            {
                throw new BlockException(ErrorCode.Busy, $"The bitmap '{Name}' is in use by another operation");
            }
        }

        if (changes && isReadOnly)
        {
            throw new BlockException(ErrorCode.ReadOnly, $"The bitmap '{Name}' is read-only");
        }

        if (IsInconsistent)
        {
            throw new BlockException(ErrorCode.Invalid, $"The bitmap '{Name}' is inconsistent: it was not stored properly, and can only be removed");
        }
    }

    private void Mark(HierarchicalBitmap target, long offset, long count)
    {
        var first = offset >> shift;
        var end = count > length - offset ? target.Length : BitsFor(offset + count);
        if (count > 0 && first < end)
        {
            target.Set(first, end - first);
        }
    }

    private long CheckedBits(long bytes) => BitmapRules.CheckedBits(Name, BitsFor(bytes), bytes);
}
