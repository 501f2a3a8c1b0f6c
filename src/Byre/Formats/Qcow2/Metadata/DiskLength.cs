namespace Byre.Formats.Qcow2.Metadata;

/// <summary>The length of an image's disk in bytes, which any thread may read while another changes it.</summary>
internal sealed class DiskLength(long value)
{
    private long value = value;

    /// <summary>The length now.</summary>
    public long Value
    {
        get => Volatile.Read(ref value);
        set => Volatile.Write(ref this.value, value);
    }
}
