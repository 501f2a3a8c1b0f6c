namespace Byre.Interop.Check;

/// <summary>Ways of damaging an image.</summary>
internal static class Damages
{
    /// <summary>Does one of them; says which.</summary>
    public static string Apply(TestImage image, Random random)
    {
        var words = image.Metadata();
        var at = words[random.Next(words.Count)];
        if (random.Next(3) == 0)
        {
            var tables = new[] { image.L2Entries.ToList(), [image.L1], [image.RefcountTable] }[random.Next(3)];
            at = tables.Count == 0 ? at : tables[random.Next(tables.Count)];
        }

        var old = image.U64(at);
        var value = random.Next(9) switch
        {
            0 => old ^ (1ul << random.Next(64)),
            1 => old ^ (1ul << 63),
            2 => 0ul,
            3 => old + 512,
            4 => old + (ulong)image.Bytes.Length + (ulong)image.ClusterSize,
            5 => image.U64(words[random.Next(words.Count)]),
            6 => old ^ (1ul << random.Next(10)),
            7 => (ulong)(uint)(random.Next(image.Bytes.Length) & -image.ClusterSize) | (1ul << 63),
            _ => old + (ulong)image.ClusterSize,
        };
        image.Put(at, value);
        if (random.Next(20) == 0)
        {
            var length = random.Next(image.Bytes.Length / 2, image.Bytes.Length);
            image.Bytes = image.Bytes[..length];
            return $"word at {at:x}: {old:x} -> {value:x}, cut to {length}";
        }

        return $"word at {at:x} ({Where(image, at)}): {old:x} -> {value:x}";
    }

    private static string Where(TestImage image, int at) =>
        at >= image.L1 && at < image.L1 + (image.L1Entries * 8) ? "L1"
        : at >= image.RefcountTable && at < image.RefcountTable + image.RefcountTableBytes ? "refcount table"
        : image.L2Tables.Any(t => at >= t && at < t + image.ClusterSize) ? "L2"
        : image.Blocks.Any(t => at >= t && at < t + image.ClusterSize) ? "refcount block" : "other";
}
