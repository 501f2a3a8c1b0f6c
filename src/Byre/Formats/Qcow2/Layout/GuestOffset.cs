using System.Runtime.CompilerServices;

namespace Byre.Formats.Qcow2.Layout;

/// <summary>
/// A place on the guest's disk. The number of a request becomes one silently, where the request meets the mapping; a
/// <see cref="HostOffset"/> never does.
/// </summary>
/// <param name="Value">Bytes from the disk's beginning.</param>
internal readonly record struct GuestOffset(long Value)
{
    /// <summary>A request's offset.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static implicit operator GuestOffset(long value) => new(value);

    /// <summary>As messages write it.</summary>
    public override string ToString() => $"0x{Value:x}";
}
