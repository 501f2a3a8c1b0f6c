using System.Text;
using Byre.Crypto;
using Byre.Formats.Luks;
using Byre.Nodes;
using Byre.Storage;
using Byre.Tests.Formats.Qcow2;

namespace Byre.Tests.Formats.Luks;

public class LuksNodeTests
{
    private const int Size = 1 << 20;

    [Theory]
    [InlineData("aes-256", "xts", "plain64")]
    [InlineData("aes-128", "cbc", "essiv")]
    public async Task Random_requests_match_a_byte_array(string cipher, string mode, string iv)
    {
        var kind = CryptoNames.ParseIv(iv);
        var spec = new CipherSpec(CryptoNames.ParseCipher(cipher), CryptoNames.ParseMode(mode), kind, kind == IvKind.Essiv ? HashKind.Sha256 : null);
        var file = await CreateAsync(spec);
        var model = new byte[Size];
        var random = new Random(3);
        await using (var disk = await OpenAsync(file, "abc"))
        {
            Assert.Equal(Size, disk.Length);
            await disk.WriteZeroesAsync(0, Size);
            for (var i = 0; i < 200; i++)
            {
                var offset = random.Next(Size);
                var bytes = TestImage.Bytes(random.Next(1, Math.Min(Size - offset, 70_000) + 1), i);
                if (i % 3 == 0)
                {
                    bytes.AsSpan().Clear();
                    await disk.WriteZeroesAsync(offset, bytes.Length);
                }
                else
                {
                    await disk.WriteAsync(offset, bytes);
                }

                bytes.CopyTo(model, offset);
                var read = await TestImage.ReadAsync(disk, offset / 2, 5000);
                Assert.Equal(model[(offset / 2)..(offset / 2 + 5000)], read);
            }
        }

        await using var again = await OpenAsync(file, "abc");
        Assert.Equal(model, await TestImage.ReadAsync(again, 0, Size));
    }

    [Fact]
    public async Task What_is_stored_is_not_what_is_written()
    {
        var file = await CreateAsync(CipherSpec.Default);
        await using (var disk = await OpenAsync(file, "abc"))
        {
            await disk.WriteAsync(0, Encoding.ASCII.GetBytes(new string('x', Size)));
        }

        var stored = new byte[file.Length];
        await file.ReadAsync(0, stored);
        Assert.Equal(-1, stored.AsSpan().IndexOf("xxxxxxxx"u8));
        Assert.Equal(-1, stored.AsSpan().IndexOf("abc\0"u8));
    }

    [Theory]
    [InlineData("abd")]
    [InlineData("")]
    [InlineData("abc\n")]
    public async Task A_wrong_passphrase_is_one_clear_line(string passphrase)
    {
        var file = await CreateAsync(CipherSpec.Default);
        var e = await Assert.ThrowsAsync<BlockException>(() => OpenAsync(file, passphrase));
        Assert.EndsWith("the passphrase is wrong, it opens none of the key slots", e.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.NotPermitted, e.Code);
    }

    [Fact]
    public async Task Passphrases_come_and_go()
    {
        var file = await CreateAsync(CipherSpec.Default);
        await using (var disk = await OpenAsync(file, "abc"))
        {
            await disk.WriteAsync(0, TestImage.Bytes(Size, 1));
            var slots = (LuksNode)disk.Node;
            await AddAsync(slots, "second");
            await AddAsync(slots, "third", slot: 6); // its salt lies in two sectors
            Assert.Equal([0, 1, 6], Active(slots));
            await Assert.ThrowsAsync<BlockException>(() => AddAsync(slots, "other", slot: 1));
            await EraseAsync(slots, slot: 0);
            await Assert.ThrowsAsync<BlockException>(() => EraseAsync(slots, slot: 0));
            await Assert.ThrowsAsync<BlockException>(() => EraseAsync(slots, old: "abc"));
            await Assert.ThrowsAsync<BlockException>(() => EraseAsync(slots, old: "second", slot: 6));
            await EraseAsync(slots, old: "second");
            Assert.Equal([6], Active(slots));
            await Assert.ThrowsAsync<BlockException>(() => EraseAsync(slots, slot: 6));
            await Assert.ThrowsAsync<BlockException>(() => EraseAsync(slots, old: "third"));
        }

        await Assert.ThrowsAsync<BlockException>(() => OpenAsync(file, "abc"));
        await Assert.ThrowsAsync<BlockException>(() => OpenAsync(file, "second"));
        await using (var disk = await OpenAsync(file, "third"))
        {
            Assert.Equal(TestImage.Bytes(Size, 1), await TestImage.ReadAsync(disk, 0, Size));
            await AddAsync((LuksNode)disk.Node, "last", slot: 6, force: true);
            Assert.Equal([6], Active((LuksNode)disk.Node));
        }

        await Assert.ThrowsAsync<BlockException>(() => OpenAsync(file, "third"));
        await using (var disk = await OpenAsync(file, "last"))
        {
            Assert.Equal(TestImage.Bytes(Size, 1), await TestImage.ReadAsync(disk, 0, Size));
            await EraseAsync((LuksNode)disk.Node, slot: 6, force: true);
        }

        await Assert.ThrowsAsync<BlockException>(() => OpenAsync(file, "last"));
    }

    [Fact]
    public async Task Eight_passphrases_fit_and_erased_material_is_gone()
    {
        var file = await CreateAsync(CipherSpec.Default);
        await using var disk = await OpenAsync(file, "abc");
        var slots = (LuksNode)disk.Node;
        for (var i = 1; i < 8; i++)
        {
            await AddAsync(slots, $"p{i}");
        }

        await Assert.ThrowsAsync<BlockException>(() => AddAsync(slots, "ninth"));
        var before = new byte[258_048];
        var after = new byte[before.Length];
        await file.ReadAsync(4096, before);
        await EraseAsync(slots, slot: 0);
        await file.ReadAsync(4096, after);
        Assert.True(before.Zip(after).Count(p => p.First == p.Second) < before.Length / 64, "the material was overwritten");
    }

    [Theory]
    [InlineData(true, null, null, null, null)]
    [InlineData(true, "new", "old", null, null)]
    [InlineData(true, "new", null, 8L, null)]
    [InlineData(true, "new", null, -1L, null)]
    [InlineData(false, "new", "abc", null, null)]
    [InlineData(false, null, "abc", null, 10L)]
    [InlineData(false, null, null, null, null)]
    [InlineData(false, null, null, 3L, null)]
    public async Task Contradictions_change_nothing(bool activate, string? added, string? erased, long? slot, long? time)
    {
        var file = await CreateAsync(CipherSpec.Default);
        var before = new byte[file.Length];
        await file.ReadAsync(0, before);
        await using (var disk = await OpenAsync(file, "abc"))
        {
            await Assert.ThrowsAsync<BlockException>(() => ((LuksNode)disk.Node).ChangeKeySlotsAsync(
                new KeySlotChange
                {
                    Activate = activate, NewPassphrase = Bytes(added), OldPassphrase = Bytes(erased), Slot = slot, IterationMilliseconds = time,
                },
                force: true).AsTask());
        }

        var after = new byte[file.Length];
        await file.ReadAsync(0, after);
        Assert.Equal(before, after);
    }

    [Fact]
    public async Task A_file_that_ends_in_its_header_is_refused()
    {
        var file = await CreateAsync(CipherSpec.Default);
        foreach (var length in new[] { 2_068_479, 262_000, 5000, 700, 100, 1 })
        {
            await file.ResizeAsync(length, Preallocation.Off);
            await Assert.ThrowsAsync<BlockException>(() => OpenAsync(file, "abc"));
        }
    }

    internal static async Task AddAsync(IKeySlots slots, string passphrase, long? slot = null, bool force = false) => await slots.ChangeKeySlotsAsync(
        new KeySlotChange { Activate = true, NewPassphrase = Bytes(passphrase), Slot = slot, IterationMilliseconds = 0 }, force);

    internal static async Task EraseAsync(IKeySlots slots, long? slot = null, string? old = null, bool force = false) =>
        await slots.ChangeKeySlotsAsync(new KeySlotChange { Activate = false, OldPassphrase = Bytes(old), Slot = slot }, force);

    private static int[] Active(LuksNode node) => [.. Enumerable.Range(0, 8).Where(i => node.Header.Slots[i].IsActive)];

    private static ReadOnlyMemory<byte>? Bytes(string? text) => text is null ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(text);

    private static async Task<MemoryNode> CreateAsync(CipherSpec spec)
    {
        var file = new MemoryNode(0);
        await using var edge = new BlockEdge(new KeepOpenNode(file), ChildRole.None, TestImage.All);
        using var passphrase = new SecretBytes("abc"u8);
        await LuksNode.CreateAsync(edge, Size, Preallocation.Off, new LuksCreateOptions { Passphrase = passphrase, Cipher = spec, IterationMilliseconds = 0 });
        return file;
    }

    private static async Task<BlockEdge> OpenAsync(MemoryNode file, string passphrase)
    {
        var edge = new BlockEdge(new KeepOpenNode(file), ChildRole.Primary | ChildRole.Metadata | ChildRole.Data, TestImage.All, "file");
        using var secret = new SecretBytes(Encoding.UTF8.GetBytes(passphrase));
        return new BlockEdge(await LuksNode.OpenAsync(edge, secret, readOnly: false), ChildRole.None, TestImage.All);
    }
}
