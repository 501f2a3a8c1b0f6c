using System.Buffers.Binary;
using System.Text;
using Byre.Nbd.Protocol;

namespace Byre.Fuzz.Nbd;

/// <summary>The bytes of a client that keeps to the protocol: handshake, options, requests, goodbye.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001", Justification = "A stream in memory holds nothing to give back")]
internal sealed class ClientSession(Random random, long size)
{
    private readonly MemoryStream bytes = new();
    private readonly List<int> numbers = [];
    private NbdHeaderStyle style;

    /// <summary>Where options, lengths, counts, flags, commands and offsets begin.</summary>
    public IReadOnlyList<int> Numbers => numbers;

    /// <summary>Makes a session.</summary>
    public byte[] Make()
    {
        var flags = new byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(flags, (uint)(NbdClientFlags.FixedNewStyle | NbdClientFlags.NoZeroes));
        bytes.Write(flags);
        if (random.Next(3) > 0)
        {
            style = (NbdHeaderStyle)random.Next(1, 3);
            Option(style == NbdHeaderStyle.Extended ? NbdOption.ExtendedHeaders : NbdOption.StructuredReply, []);
            Option(NbdOption.ListMetaContext, Contexts());
            Option(NbdOption.SetMetaContext, Contexts("base:allocation", "qemu:allocation-depth", "byre:joint"));
        }

        if (random.Next(2) == 0)
        {
            Option(NbdOption.List, []);
            Option((NbdOption)random.Next((int)NbdOption.List, 20), [1, 2, 3]); // not EXPORT_NAME and ABORT, which end the options
        }

        if (random.Next(2) == 0)
        {
            Option(NbdOption.Info, [0, 0, 0, 1, (byte)'x', 0, 3, 0, 1, 0, 3, 0, 4]);
        }

        Option(NbdOption.Go, [0, 0, 0, 1, (byte)'x', 0, 2, 0, 1, 0, 4]);
        for (var count = random.Next(1, 12); count > 0; count--)
        {
            Request();
        }

        Head(NbdCommand.Disconnect, NbdCommandFlags.None, 0, 0);
        return bytes.ToArray();
    }

    private static byte[] Contexts(params string[] names)
    {
        using var data = new MemoryStream();
        data.Write([0, 0, 0, 1, (byte)'x', 0, 0, 0, (byte)names.Length]);
        foreach (var name in names)
        {
            data.Write([0, 0, 0, (byte)name.Length]);
            data.Write(Encoding.UTF8.GetBytes(name));
        }

        return data.ToArray();
    }

    private void Option(NbdOption option, byte[] data)
    {
        var head = new byte[NbdOptionHeader.Size];
        Note(8, 12);
        if (data.Length > 0)
        {
            Note(16, 16 + 5, 16 + 9); // the length of the name, and the numbers behind the name "x"
        }

        new NbdOptionHeader(option, (uint)data.Length).Write(head);
        bytes.Write(head);
        bytes.Write(data);
    }

    private void Request()
    {
        var command = (NbdCommand)random.Next(0, 10);
        var length = random.Next(1, 9000);
        var offset = random.NextInt64(size - length);
        var flags = random.Next(3) == 0 ? (NbdCommandFlags)(1 << random.Next(8)) : NbdCommandFlags.None;
        switch (command)
        {
            case NbdCommand.Write:
                Head(command, flags | (style == NbdHeaderStyle.Extended ? NbdCommandFlags.PayloadLength : 0), offset, length);
                var payload = new byte[length];
                random.NextBytes(payload);
                bytes.Write(payload);
                break;
            case NbdCommand.Disconnect:
                break; // comes at the end
            case NbdCommand.Flush:
                Head(command, flags, 0, 0);
                break;
            default:
                Head(command, flags & ~NbdCommandFlags.PayloadLength, offset, length);
                break;
        }
    }

    private void Head(NbdCommand command, NbdCommandFlags flags, long offset, long length)
    {
        var head = new byte[NbdRequestHeader.ExtendedSize];
        Note(4, 6, 16, 24);
        var count = new NbdRequestHeader(flags, command, (ulong)random.NextInt64(), (ulong)offset, (ulong)length).Write(head, style);
        bytes.Write(head, 0, count);
    }

    private void Note(params ReadOnlySpan<int> places)
    {
        foreach (var place in places)
        {
            numbers.Add((int)bytes.Length + place);
        }
    }
}
