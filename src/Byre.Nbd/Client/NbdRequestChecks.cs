using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>What a client may ask of a server (sections "Size constraints", "Command flags" and "Transmission flags").</summary>
internal static class NbdRequestChecks
{
    /// <summary>A request with bytes in one direction.</summary>
    /// <returns>Why it may not be sent, or null.</returns>
    public static BlockException? Payload(NbdClient client, NbdCommand command, NbdCommandFlags flags, long offset, int length) =>
        Range(client, command, flags, offset, length)
            ?? (length > client.MaxPayload
                ? new BlockException(ErrorCode.TooLarge, $"The NBD server takes requests of {client.MaxPayload} bytes, and this has {length}")
                : null);

    /// <summary>A request about a range.</summary>
    /// <returns>Why it may not be sent, or null.</returns>
    public static BlockException? Range(NbdClient client, NbdCommand command, NbdCommandFlags flags, long offset, long length)
    {
        if (Offered(client, command, flags) is { } notOffered)
        {
            return notOffered;
        }

        if ((offset | length) < 0 || offset > client.Size - length)
        {
            return new BlockException(ErrorCode.OutOfRange, $"The range {offset}+{length} lies outside of the export's {client.Size} bytes", offset: offset);
        }

        var block = (long)(client.BlockSize?.Minimum ?? 1);
        if (((offset | length) & (block - 1)) != 0)
        {
            return new BlockException(ErrorCode.Invalid, $"The range {offset}+{length} is not in blocks of {block} bytes, which the NBD server wants", offset: offset);
        }

        return length > uint.MaxValue && client.HeaderStyle != NbdHeaderStyle.Extended
            ? new BlockException(ErrorCode.TooLarge, $"A request of {length} bytes needs extended headers, which the NBD server lacks", offset: offset)
            : null;
    }

    /// <summary>A command and its flags.</summary>
    /// <returns>Why they may not be sent, or null.</returns>
    public static BlockException? Offered(NbdClient client, NbdCommand command, NbdCommandFlags flags)
    {
        var (needs, knows) = command switch
        {
            NbdCommand.Read => (NbdTransmissionFlags.None, NbdCommandFlags.DontFragment),
            NbdCommand.Write => (NbdTransmissionFlags.None, NbdCommandFlags.Fua),
            NbdCommand.Flush => (NbdTransmissionFlags.SendFlush, NbdCommandFlags.None),
            NbdCommand.Trim => (NbdTransmissionFlags.SendTrim, NbdCommandFlags.Fua),
            NbdCommand.WriteZeroes => (NbdTransmissionFlags.SendWriteZeroes, NbdCommandFlags.Fua | NbdCommandFlags.NoHole | NbdCommandFlags.FastZero),
            NbdCommand.Resize => (NbdTransmissionFlags.SendResize, NbdCommandFlags.Fua),
            NbdCommand.BlockStatus => (NbdTransmissionFlags.None, NbdCommandFlags.RequestOne),
            _ => (NbdTransmissionFlags.SendCache, NbdCommandFlags.None),
        };
        var writes = command is NbdCommand.Write or NbdCommand.Trim or NbdCommand.WriteZeroes or NbdCommand.Resize;
        if (writes && client.Facts.Has(NbdTransmissionFlags.ReadOnly))
        {
            return new BlockException(ErrorCode.ReadOnly, "The export of the NBD server is read-only");
        }

        if (command == NbdCommand.BlockStatus && client.Contexts.Count == 0)
        {
            return new BlockException(ErrorCode.NotSupported, "No metadata context of the NBD server is selected");
        }

        if ((needs & ~client.Flags) != 0 || (flags & ~knows) != 0
            || ((flags & NbdCommandFlags.Fua) != 0 && !client.Facts.Has(NbdTransmissionFlags.SendFua))
            || ((flags & NbdCommandFlags.DontFragment) != 0 && !client.Facts.Has(NbdTransmissionFlags.SendDontFragment))
            || ((flags & NbdCommandFlags.FastZero) != 0 && !client.Facts.Has(NbdTransmissionFlags.SendFastZero)))
        {
            return new BlockException(ErrorCode.NotSupported, $"The NBD server does not offer {command} with these flags ({flags})");
        }

        return null;
    }
}
