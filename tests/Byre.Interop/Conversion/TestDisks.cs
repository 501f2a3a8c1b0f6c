namespace Byre.Interop.Conversion;

/// <summary>Raw disks with mixed content: random bytes, bytes that compress well, zeroes and holes.</summary>
internal static class TestDisks
{
    /// <summary>Makes one.</summary>
    /// <param name="path">Its file.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="stretches">How many stretches of data.</param>
    /// <param name="seed">The same number makes the same disk.</param>
    public static void Make(string path, int length, int stretches, int seed)
    {
        var random = new Random(seed);
        using var file = File.Create(path);
        file.SetLength(length);
        for (var i = 0; i < stretches; i++)
        {
            var data = new byte[random.Next(1, Math.Min(200_000, length))];
            random.NextBytes(data.AsSpan(0, data.Length / 2)); // the rest is zero, or compresses well
            data.AsSpan(data.Length / 2).Fill((byte)random.Next(3));
            file.Position = random.Next(length - data.Length);
            file.Write(data);
        }
    }
}
