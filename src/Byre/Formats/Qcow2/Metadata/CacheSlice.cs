namespace Byre.Formats.Qcow2.Metadata;

/// <summary>
/// A piece of an L2 table or of a refcount block in memory, as its bytes are on disk (big-endian). Its flags, and changes of
/// its bytes, belong to the holder of the metadata lock; an aligned 8-byte entry may be read without it.
/// </summary>
internal sealed class CacheSlice(long offset, byte[] bytes)
{
    /// <summary>Where it lies in the file.</summary>
    public long Offset { get; } = offset;

    /// <summary>The bytes.</summary>
    public byte[] Bytes { get; } = bytes;

    /// <summary>Changed since it was last copied for writing.</summary>
    public bool IsDirty { get; set; }

    /// <summary>A copy is on its way to the disk: what the disk holds is not known, so it must stay.</summary>
    public bool IsWriting { get; set; }

    /// <summary>In the cache. A slice that is not must not be changed: look it up again.</summary>
    public bool IsResident { get; set; }

    /// <summary>Changed since it was loaded.</summary>
    public bool WasChanged { get; set; }

    /// <summary>Used since the clock's hand last passed.</summary>
    public bool IsUsed { get; set; }

    /// <summary>Its index among the resident slices.</summary>
    public int Index { get; set; }
}
