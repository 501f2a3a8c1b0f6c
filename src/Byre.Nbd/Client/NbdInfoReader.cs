using System.Buffers.Binary;
using Byre.Nbd.Protocol;
using Byre.Nodes;

namespace Byre.Nbd.Client;

/// <summary>Gathers what a server says of an export (section "NBD_REP_INFO"), and checks it.</summary>
internal sealed class NbdInfoReader(NbdOptionStream stream, NbdHeaderStyle headers, bool hasContexts)
{
    private const int TypeLength = sizeof(ushort);

    private NbdExportFacts facts = new();
    private bool hasExport;

    /// <summary>Takes one piece; what is not known is passed over.</summary>
    public void Take(ReadOnlySpan<byte> data)
    {
        if (data.Length < TypeLength)
        {
            throw stream.Broken("a piece of information about an export has no type");
        }

        var content = data[TypeLength..];
        switch ((NbdInfo)BinaryPrimitives.ReadUInt16BigEndian(data))
        {
            case NbdInfo.Export:
                CheckLength(content, NbdExportInfo.Size, "length and flags");
                facts = With(facts, NbdExportInfo.Read(content));
                hasExport = true;
                break;
            case NbdInfo.Name:
                facts = facts with { CanonicalName = stream.Text(content, "an export's name") };
                break;
            case NbdInfo.Description:
                facts = facts with { Description = stream.Text(content, "an export's description") };
                break;
            case NbdInfo.BlockSize:
                CheckLength(content, NbdBlockSize.Size, "block sizes");
                var size = NbdBlockSize.Read(content);
                facts = size.IsValid
                    ? facts with { BlockSize = size }
                    : throw stream.Broken(
                        $"the block sizes of the export are not valid: minimum {size.Minimum}, preferred {size.Preferred}, maximum {size.MaximumPayload}");
                break;
            case NbdInfo.InitialState:
                CheckLength(content, sizeof(ushort), "initial state");
                facts = facts with { InitialState = (NbdInitialState)BinaryPrimitives.ReadUInt16BigEndian(content) };
                break;
        }
    }

    /// <summary>All has come.</summary>
    public NbdExportFacts Finish() => hasExport ? facts : throw stream.Broken("it says neither length nor flags of the export");

    /// <summary>What the short forms of the handshake tell.</summary>
    public NbdExportFacts Of(NbdExportInfo info) => With(facts, info);

    private NbdExportFacts With(NbdExportFacts before, NbdExportInfo info)
    {
        if (info.Length > long.MaxValue)
        {
            throw new BlockException(ErrorCode.TooLarge, $"The export of the NBD server at '{stream.Server}' has {info.Length} bytes: more than 2^63 - 1", stream.Server);
        }

        var flags = info.Flags;
        if ((flags & NbdTransmissionFlags.HasFlags) == 0)
        {
            flags = NbdTransmissionFlags.None;
        }

        // Offers that mean nothing without what was not agreed on.
        flags &= headers == NbdHeaderStyle.Simple ? ~NbdTransmissionFlags.SendDontFragment : ~NbdTransmissionFlags.None;
        flags &= headers != NbdHeaderStyle.Extended || !hasContexts ? ~NbdTransmissionFlags.BlockStatusPayload : ~NbdTransmissionFlags.None;
        flags &= (flags & NbdTransmissionFlags.SendWriteZeroes) == 0 ? ~NbdTransmissionFlags.SendFastZero : ~NbdTransmissionFlags.None;
        return before with { Size = (long)info.Length, Flags = flags };
    }

    private void CheckLength(ReadOnlySpan<byte> content, int length, string what)
    {
        if (content.Length != length)
        {
            throw stream.Broken($"its information about an export ({what}) has {content.Length} bytes instead of {length}");
        }
    }
}
