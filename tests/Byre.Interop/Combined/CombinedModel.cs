using Byre.Blockdev;
using Byre.Graph;
using Byre.Nodes;

namespace Byre.Interop.Combined;

/// <summary>What an image must say: its disk, its snapshots, and what its bitmaps must at least have as dirty.</summary>
internal sealed class CombinedModel
{
    public byte[] Disk { get; set; } = [];

    public List<(string Name, byte[] Disk)> Snapshots { get; } = [];

    public Dictionary<string, Bitmap> Bitmaps { get; } = new(StringComparer.Ordinal);

    /// <summary>Something was written.</summary>
    public void Mark(int at, int length)
    {
        foreach (var bitmap in Bitmaps.Values.Where(b => b.IsEnabled))
        {
            bitmap.Mark(at, length);
        }
    }

    /// <summary>The disk has another length.</summary>
    public void ResizeBitmaps()
    {
        foreach (var bitmap in Bitmaps.Values)
        {
            bitmap.Resize(Disk.Length);
        }
    }

    /// <summary>Compares the bitmaps of an image, as Byre reads them.</summary>
    public async Task AssertBitmapsAsync(string path, bool isEncrypted)
    {
        using var secrets = new SecretStore();
        secrets.Add("s", new Dictionary<string, string> { ["data"] = "abc" });
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        if (isEncrypted)
        {
            options["encrypt.key-secret"] = "s";
        }

        await using var image = await ImageOpener.OpenAsync(
            new OpenOptions { FileName = path, Format = "qcow2", ReadOnly = true, Options = options, Secrets = secrets, Gate = OpenGate.AllowAll },
            DefaultPermissions.ForUser(write: false));
        var stored = await ((IPersistentBitmaps)image.Node).ListBitmapsAsync();
        Assert.Equal(Bitmaps.Keys.Order(StringComparer.Ordinal), stored.Select(b => b.Name).Order(StringComparer.Ordinal));
        foreach (var bitmap in stored)
        {
            var expected = Bitmaps[bitmap.Name];
            Assert.True(
                (bitmap.Granularity, bitmap.IsEnabled, bitmap.IsInconsistent) == (expected.Granularity, expected.IsEnabled, false),
                $"{bitmap.Name} has granularity {bitmap.Granularity}, enabled {bitmap.IsEnabled}, inconsistent {bitmap.IsInconsistent}");
            for (var i = 0; i < expected.Bits.Length; i++)
            {
                Assert.True(!expected.Bits[i] || bitmap.IsDirty((long)i * expected.Granularity), $"{bitmap.Name}: byte {(long)i * expected.Granularity} is not dirty");
            }
        }
    }

    /// <summary>What a bitmap must at least say.</summary>
    internal sealed class Bitmap(int granularity, int length)
    {
        private int length = length;

        public bool[] Bits { get; private set; } = new bool[(length + granularity - 1) / granularity];

        public int Granularity => granularity;

        public bool IsEnabled { get; set; }

        public void Mark(int at, int count) =>
            Array.Fill(Bits, true, at / granularity, ((at + count - 1) / granularity) - (at / granularity) + 1);

        public void Merge(Bitmap other)
        {
            for (var i = 0; i < other.Bits.Length; i++)
            {
                if (other.Bits[i])
                {
                    var at = i * other.Granularity;
                    Mark(at, Math.Min(other.Granularity, length - at));
                }
            }
        }

        public void Resize(int to)
        {
            var bits = Bits;
            Array.Resize(ref bits, (to + granularity - 1) / granularity);
            (Bits, length) = (bits, to);
        }
    }
}
