using Microsoft.Win32.SafeHandles;

namespace Byre.Nbd.Transport;

/// <summary>Owns a descriptor; a call that is using it when it is disposed ends first.</summary>
internal sealed class ChannelHandle : SafeHandleMinusOneIsInvalid
{
    /// <summary>Takes a descriptor over.</summary>
    public ChannelHandle(int descriptor)
        : base(ownsHandle: true)
        => SetHandle(descriptor);

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => SocketCalls.Close(handle) == 0;
}
