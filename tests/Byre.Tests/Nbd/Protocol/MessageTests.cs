using Byre.Nbd.Protocol;

namespace Byre.Tests.Nbd.Protocol;

/// <summary>The bytes of the protocol's messages: golden ones, and that what is written is what is read.</summary>
public sealed class MessageTests
{
    [Fact]
    public void The_magic_numbers_spell_their_names()
    {
        Assert.Equal("NBDMAGIC"u8.ToArray(), Bytes(NbdMagic.Initial));
        Assert.Equal("IHAVEOPT"u8.ToArray(), Bytes(NbdMagic.Option));
        Assert.Equal("0000420281861253", Convert.ToHexStringLower(Bytes(NbdMagic.OldStyle)));
        Assert.Equal("0003e889045565a9", Convert.ToHexStringLower(Bytes(NbdMagic.OptionReply)));
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Simple, "25609513000100010102030405060708000000010000000000001000")]
    [InlineData(NbdHeaderStyle.Structured, "25609513000100010102030405060708000000010000000000001000")]
    [InlineData(NbdHeaderStyle.Extended, "21e41c710001000101020304050607080000000100000000" + "0000000000001000")]
    public void A_request_has_these_bytes(NbdHeaderStyle style, string golden)
    {
        var request = new NbdRequestHeader(NbdCommandFlags.Fua, NbdCommand.Write, 0x0102030405060708, 1UL << 32, 4096);
        var bytes = new byte[64];
        var length = request.Write(bytes, style);
        Assert.Equal(NbdRequestHeader.SizeOf(style), length);
        Assert.Equal(golden, Convert.ToHexStringLower(bytes, 0, length));
        Assert.True(NbdRequestHeader.TryRead(bytes, style, out var read));
        Assert.Equal(request, read);
    }

    [Theory]
    [InlineData(NbdHeaderStyle.Simple, "67446698000000050102030405060708")]
    [InlineData(NbdHeaderStyle.Structured, "668e33ef00010001010203040506070800001008")]
    [InlineData(NbdHeaderStyle.Extended, "6e8a278c00010001010203040506070800000001000000000000000000001008")]
    public void A_reply_has_these_bytes(NbdHeaderStyle style, string golden)
    {
        var request = new NbdRequestHeader(NbdCommandFlags.None, NbdCommand.Read, 0x0102030405060708, 1UL << 32, 4096);
        var reply = style == NbdHeaderStyle.Simple ? NbdReplyHeader.Simple(request.Cookie, NbdError.Io)
            : NbdReplyHeader.Chunk(style, NbdReplyFlags.Done, NbdReplyType.OffsetData, request, 4104);
        var bytes = new byte[64];
        var length = reply.Write(bytes);
        Assert.Equal(NbdReplyHeader.SizeOf(style), length);
        Assert.Equal(golden, Convert.ToHexStringLower(bytes, 0, length));
        Assert.True(NbdReplyHeader.TryRead(bytes, out var read));
        Assert.Equal(reply, read);
        Assert.True(read.IsDone);
    }

    [Fact]
    public void Options_and_their_replies_have_these_bytes()
    {
        var bytes = new byte[64];
        var option = new NbdOptionHeader(NbdOption.Go, 6);
        option.Write(bytes);
        Assert.Equal("49484156454f50540000000700000006", Convert.ToHexStringLower(bytes, 0, NbdOptionHeader.Size));
        Assert.True(NbdOptionHeader.TryRead(bytes, out var readOption));
        Assert.Equal(option, readOption);

        var reply = new NbdOptionReplyHeader(NbdOption.Go, NbdOptionReply.ErrorUnknown, 2);
        reply.Write(bytes);
        Assert.Equal("0003e889045565a9000000078000000600000002", Convert.ToHexStringLower(bytes, 0, NbdOptionReplyHeader.Size));
        Assert.True(NbdOptionReplyHeader.TryRead(bytes, out var readReply));
        Assert.Equal(reply, readReply);
        Assert.True(readReply.IsError);
    }

    [Fact]
    public void Information_and_descriptors_have_these_bytes()
    {
        var bytes = new byte[32];
        var info = new NbdExportInfo(1UL << 40, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.CanMultiConn);
        info.Write(bytes);
        Assert.Equal("00000100000000000101", Convert.ToHexStringLower(bytes, 0, NbdExportInfo.Size));
        Assert.Equal(info, NbdExportInfo.Read(bytes));

        var sizes = new NbdBlockSize(512, 4096, 32 << 20);
        sizes.Write(bytes);
        Assert.Equal("000002000000100002000000", Convert.ToHexStringLower(bytes, 0, NbdBlockSize.Size));
        Assert.Equal(sizes, NbdBlockSize.Read(bytes));

        var descriptor = new NbdStatusDescriptor(65536, 3);
        descriptor.Write(bytes, NbdHeaderStyle.Structured);
        Assert.Equal("0001000000000003", Convert.ToHexStringLower(bytes, 0, NbdStatusDescriptor.CompactSize));
        Assert.Equal(descriptor, NbdStatusDescriptor.Read(bytes, NbdHeaderStyle.Structured));
        descriptor = new NbdStatusDescriptor(1UL << 44, 1UL << 33);
        descriptor.Write(bytes, NbdHeaderStyle.Extended);
        Assert.Equal("00001000000000000000000200000000", Convert.ToHexStringLower(bytes, 0, NbdStatusDescriptor.ExtendedSize));
        Assert.Equal(descriptor, NbdStatusDescriptor.Read(bytes, NbdHeaderStyle.Extended));
    }

    [Fact]
    public void What_does_not_fit_in_a_compact_message_is_not_cut()
    {
        var bytes = new byte[64];
        var request = new NbdRequestHeader(NbdCommandFlags.None, NbdCommand.Trim, 1, 0, 1UL << 32);
        Assert.Throws<OverflowException>(() => request.Write(bytes, NbdHeaderStyle.Structured));
        Assert.Throws<OverflowException>(() => new NbdStatusDescriptor(1UL << 32, 0).Write(bytes, NbdHeaderStyle.Structured));
        Assert.Throws<OverflowException>(
            () => NbdReplyHeader.Chunk(NbdHeaderStyle.Structured, NbdReplyFlags.None, NbdReplyType.OffsetData, request, 1UL << 32).Write(bytes));
    }

    [Fact]
    public void Bytes_that_begin_otherwise_are_refused()
    {
        var random = new Random(20);
        var bytes = new byte[64];
        for (var i = 0; i < 10_000; i++)
        {
            random.NextBytes(bytes);
            bytes[0] = 0x11; // no magic number begins so
            foreach (var style in Enum.GetValues<NbdHeaderStyle>())
            {
                Assert.False(NbdRequestHeader.TryRead(bytes, style, out _));
            }

            Assert.False(NbdReplyHeader.TryRead(bytes, out _));
            Assert.False(NbdOptionHeader.TryRead(bytes, out _));
            Assert.False(NbdOptionReplyHeader.TryRead(bytes, out _));
        }

        new NbdRequestHeader(NbdCommandFlags.None, NbdCommand.Read, 1, 0, 1).Write(bytes, NbdHeaderStyle.Simple);
        Assert.False(NbdRequestHeader.TryRead(bytes, NbdHeaderStyle.Extended, out _));
    }

    [Theory]
    [InlineData(1, 4096, 32 << 20, true)]
    [InlineData(512, 512, 512, true)]
    [InlineData(65536, 65536, uint.MaxValue, true)]
    [InlineData(0, 4096, 32 << 20, false)]
    [InlineData(3, 4096, 32 << 20, false)]
    [InlineData(131072, 131072, 32 << 20, false)]
    [InlineData(1, 256, 32 << 20, false)]
    [InlineData(4096, 512, 32 << 20, false)]
    [InlineData(512, 5000, 32 << 20, false)]
    [InlineData(512, 4096, 1000, false)]
    [InlineData(4096, 4096, 512, false)]
    [InlineData(1, 1u << 31, 32 << 20, false)]
    public void Block_sizes_keep_the_rules(uint minimum, uint preferred, uint maximum, bool valid) =>
        Assert.Equal(valid, new NbdBlockSize(minimum, preferred, maximum).IsValid);

    private static byte[] Bytes(ulong number)
    {
        var bytes = new byte[8];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(bytes, number);
        return bytes;
    }
}
