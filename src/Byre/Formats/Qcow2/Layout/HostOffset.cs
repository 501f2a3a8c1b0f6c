using System.Runtime.CompilerServices;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>
/// A place in a file that stores an image's clusters: the image file, or its external data file. It is a type of its own so
/// that it is never taken for a place on the guest's disk; nothing converts to it or from it silently.
/// </summary>
/// <param name="Value">Bytes from the file's beginning.</param>
internal readonly record struct HostOffset(long Value)
{
    /// <summary>What entries without a host cluster hold.</summary>
    internal static HostOffset Zero => default;

    /// <summary>So many bytes further on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static HostOffset operator +(HostOffset offset, long bytes) => new(offset.Value + bytes);

    /// <summary>The bytes from one place to another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static long operator -(HostOffset end, HostOffset start) => end.Value - start.Value;

    /// <summary>As messages write it.</summary>
    public override string ToString() => $"0x{Value:x}";
}
