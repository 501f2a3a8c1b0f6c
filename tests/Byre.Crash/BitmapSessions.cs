using Byre.Formats.Qcow2;
using Byre.Nodes;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>
/// Sessions of an image with bitmaps, for crashes and faults: each changes the disk and the bitmaps and is closed, so that
/// the clusters of old bitmaps are used again. And what may never be: a bitmap that can be trusted and is wrong.
/// </summary>
internal sealed class BitmapSessions(int size, long granularity)
{
    private static readonly PermissionSet Everything = new(Permissions.All, Permissions.All);

    private readonly byte[] zeroes = new byte[size];

    /// <summary>Bytes that the bitmap "off", which does not record, always says are dirty: those from 0.</summary>
    public const int OffBytes = 96 << 10;

    /// <summary>An image with the bitmaps "on" and "off" that says of no byte that it was written; all of the disk reads as zeroes.</summary>
    public static async Task<byte[]> MakeAsync(string directory, string options, int size, long granularity)
    {
        await ExternalTool.RunAsync("qemu-img", directory, "create", "-q", "-f", "qcow2", "-o", options, "off.qcow2", $"{size}");
        await ExternalTool.RunAsync("qemu-img", directory, "bitmap", "--add", "-g", $"{granularity}", "off.qcow2", "off");
        await ExternalTool.RunAsync("qemu-io", directory, "-c", $"write 0 {OffBytes}", "-c", $"write -z 0 {OffBytes}", "off.qcow2");
        await ExternalTool.RunAsync("qemu-img", directory, "bitmap", "--disable", "off.qcow2", "off");
        await ExternalTool.RunAsync("qemu-img", directory, "bitmap", "--add", "-g", $"{granularity}", "off.qcow2", "on");
        return await File.ReadAllBytesAsync(Path.Combine(directory, "off.qcow2"));
    }

    /// <summary>Runs three sessions.</summary>
    /// <param name="file">The image file; it stays open.</param>
    /// <param name="mayFail">Failures end a session and not the run.</param>
    public async Task RunAsync(BlockNode file, bool mayFail)
    {
        var random = new Random(7);
        for (var session = 0; session < 3; session++)
        {
            var actions = Actions(session, random);
            try
            {
                var edge = await Qcow2Images.OpenAsync(file, null, null, new Qcow2OpenOptions());
                try
                {
                    foreach (var action in actions)
                    {
                        await TryAsync(() => action(edge), mayFail);
                    }
                }
                finally
                {
                    await edge.DisposeAsync();
                }
            }
            catch (BlockException) when (mayFail)
            {
                // The next session finds what this one left.
            }
        }
    }

    /// <summary>What is wrong with an image; null where nothing is.</summary>
    /// <param name="file">The image file.</param>
    /// <param name="isClosed">All sessions ended well: the bitmaps are there and can be trusted.</param>
    public async Task<string?> ProblemAsync(BlockNode file, bool isClosed)
    {
        try
        {
            var report = await Qcow2Images.CheckAsync(file);
            if (Qcow2Images.Problem(report, leaksCount: isClosed) is { } problem)
            {
                return problem;
            }

            await using var edge = await Qcow2Images.OpenAsync(file, null, null, new Qcow2OpenOptions { ReadOnly = true });
            var content = await Qcow2Images.ReadAllAsync(edge);
            var bitmaps = await ((IPersistentBitmaps)edge.Node).ListBitmapsAsync();
            if (isClosed && (bitmaps.Any(b => b.IsInconsistent) || !bitmaps.Select(b => b.Name).Order().SequenceEqual(["merged2", "off", "on"])))
            {
                return $"in the end there are {string.Join(", ", bitmaps.Select(b => b.Name + (b.IsInconsistent ? " (inconsistent)" : "")))}";
            }

            for (var at = 0; at < content.Length; at += 512)
            {
                var isChanged = !content.AsSpan(at, 512).SequenceEqual(zeroes.AsSpan(at, 512));
                foreach (var bitmap in bitmaps.Where(b => !b.IsInconsistent))
                {
                    var isOff = at < ((OffBytes + granularity - 1) & -granularity);
                    var isWrong = bitmap.Name == "off" ? bitmap.IsDirty(at) != isOff
                        : bitmap.Name == "on" ? isChanged && !bitmap.IsDirty(at)
                        : isOff && !bitmap.IsDirty(at);
                    if (isWrong)
                    {
                        return $"the bitmap '{bitmap.Name}' is wrong about byte {at}";
                    }
                }
            }

            return null;
        }
        catch (BlockException e)
        {
            return $"{e.Code}: {e.Message}";
        }
    }

    private List<Func<BlockEdge, ValueTask>> Actions(int session, Random random)
    {
        var actions = new List<Func<BlockEdge, ValueTask>>();
        for (var i = 0; i < 6; i++)
        {
            var offset = random.Next(size / 512) * 512;
            var bytes = new byte[Math.Min(random.Next(1, 60) * 512, size - offset)];
            Array.Fill(bytes, (byte)(1 + session + i));
            actions.Add(edge => edge.WriteAsync(offset, bytes));
            if (i == 2)
            {
                actions.Add(edge => edge.FlushAsync());
                actions.Add(edge => Bitmaps(edge).MergeBitmapAsync("on", Off(edge)));
            }
        }

        actions.Insert(random.Next(4), async edge => await Bitmaps(edge).AddBitmapAsync($"merged{session}", granularity, isEnabled: false));
        actions.Add(edge => Bitmaps(edge).MergeBitmapAsync($"merged{session}", Off(edge)));
        if (session > 0)
        {
            actions.Insert(random.Next(1, 8), edge => Bitmaps(edge).RemoveBitmapAsync($"merged{session - 1}"));
        }

        return actions;
    }

    private static IPersistentBitmaps Bitmaps(BlockEdge edge) => (IPersistentBitmaps)edge.Node;

    private static Byre.Bitmaps.DirtyBitmap Off(BlockEdge edge) =>
        edge.Node.Bitmaps?.Find("off") ?? throw new BlockException(ErrorCode.NotFound, "there is no bitmap 'off'");

    private static async Task TryAsync(Func<ValueTask> action, bool mayFail)
    {
        try
        {
            await action();
        }
        catch (BlockException) when (mayFail)
        {
            // What comes after it is tried.
        }
    }
}
