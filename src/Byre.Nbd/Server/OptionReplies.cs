using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;

namespace Byre.Nbd.Server;

/// <summary>The replies to one option, gathered so that they leave together (section "Option reply types").</summary>
internal sealed class OptionReplies
{
    private readonly ArrayBufferWriter<byte> bytes = new(256);
    private NbdOption option;

    /// <summary>What is to be sent.</summary>
    public ReadOnlySpan<byte> Bytes => bytes.WrittenSpan;

    /// <summary>The option that is replied to from now on; what was gathered is forgotten.</summary>
    public void Begin(NbdOption replyTo)
    {
        option = replyTo;
        bytes.ResetWrittenCount();
    }

    /// <summary>The last reply: all is well.</summary>
    public void Acknowledge() => Write(NbdOptionReply.Ack, 0);

    /// <summary>The only reply: the option failed.</summary>
    /// <param name="error">How.</param>
    /// <param name="text">Why, in one sentence of ASCII.</param>
    public void Fail(NbdOptionReply error, string text)
    {
        bytes.ResetWrittenCount();
        Encoding.ASCII.GetBytes(text, Write(error, text.Length));
    }

    /// <summary>An export's name, and the text about it.</summary>
    public void AddExport(string name, string? description)
    {
        var nameLength = Encoding.UTF8.GetByteCount(name);
        var target = Write(NbdOptionReply.Server, sizeof(uint) + nameLength + Encoding.UTF8.GetByteCount(description ?? ""));
        BinaryPrimitives.WriteUInt32BigEndian(target, (uint)nameLength);
        Encoding.UTF8.GetBytes(name, target[sizeof(uint)..]);
        Encoding.UTF8.GetBytes(description ?? "", target[(sizeof(uint) + nameLength)..]);
    }

    /// <summary>An export's length and abilities.</summary>
    public void AddInfo(NbdExportInfo info) => info.Write(AddInfo(NbdInfo.Export, NbdExportInfo.Size));

    /// <summary>An export's sizes of requests.</summary>
    public void AddInfo(NbdBlockSize size) => size.Write(AddInfo(NbdInfo.BlockSize, NbdBlockSize.Size));

    /// <summary>What an export holds when the client connects.</summary>
    public void AddInfo(NbdInitialState state) =>
        BinaryPrimitives.WriteUInt16BigEndian(AddInfo(NbdInfo.InitialState, sizeof(ushort)), (ushort)state);

    /// <summary>A text about an export.</summary>
    public void AddInfo(NbdInfo type, string text) => Encoding.UTF8.GetBytes(text, AddInfo(type, Encoding.UTF8.GetByteCount(text)));

    /// <summary>A metadata context.</summary>
    public void AddContext(uint id, string name)
    {
        var target = Write(NbdOptionReply.MetaContext, sizeof(uint) + Encoding.UTF8.GetByteCount(name));
        BinaryPrimitives.WriteUInt32BigEndian(target, id);
        Encoding.UTF8.GetBytes(name, target[sizeof(uint)..]);
    }

    /// <summary>The reply to EXPORT_NAME, which has no head.</summary>
    /// <param name="info">Length and abilities.</param>
    /// <param name="padding">Bytes of zeroes that follow.</param>
    public void AddBareExport(NbdExportInfo info, int padding)
    {
        var target = bytes.GetSpan(NbdExportInfo.Size + padding)[..(NbdExportInfo.Size + padding)];
        target.Clear();
        info.Write(target);
        bytes.Advance(target.Length);
    }

    private Span<byte> AddInfo(NbdInfo type, int length)
    {
        var target = Write(NbdOptionReply.Info, sizeof(ushort) + length);
        BinaryPrimitives.WriteUInt16BigEndian(target, (ushort)type);
        return target[sizeof(ushort)..];
    }

    private Span<byte> Write(NbdOptionReply reply, int length)
    {
        var all = bytes.GetSpan(NbdOptionReplyHeader.Size + length)[..(NbdOptionReplyHeader.Size + length)];
        new NbdOptionReplyHeader(option, reply, (uint)length).Write(all);
        bytes.Advance(all.Length);
        return all[NbdOptionReplyHeader.Size..];
    }
}
