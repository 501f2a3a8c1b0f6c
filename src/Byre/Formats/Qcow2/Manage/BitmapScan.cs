using System.Buffers.Binary;
using System.Text;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>
/// Walks over the bitmap directory and the bitmaps' tables (qcow2 specification, "Bitmaps"), for the clusters that they take,
/// and knows which bitmaps a repair keeps.
/// </summary>
internal sealed class BitmapScan(ImageScan scan)
{
    private const int MaxBadPlaces = 4096;

    private readonly List<BitmapRecord> records = [];
    private readonly SortedSet<long> badPlaces = []; // of table entries that cannot be right
    private byte[] directory = [];
    private bool isDamaged;

    /// <summary>Some bitmaps cannot be read, so that what they use may look like leaks.</summary>
    public bool HasLost { get; private set; }

    /// <summary>A repair writes the directory anew, without the bitmaps that nothing can read.</summary>
    public bool MustRewrite => isDamaged || badPlaces.Count != 0;

    /// <summary>Counts what belongs to the bitmaps. Where the autoclear bit is not set the extension counts as absent.</summary>
    /// <exception cref="BlockException">The directory or a table cannot be read from the file.</exception>
    public async ValueTask RunAsync()
    {
        if (BitmapsExtension.BytesIn(scan.Header) is { } extension)
        {
            await ScanDirectoryAsync(extension).ConfigureAwait(false);
        }
    }

    /// <summary>The directory as a repair writes it.</summary>
    /// <returns>Its bytes, and how many bitmaps they are.</returns>
    public (byte[] Bytes, uint Count) Build()
    {
        var kept = records.FindAll(r => badPlaces.Count < MaxBadPlaces && badPlaces.GetViewBetween(r.TableOffset, r.TableEnd - 1).Count == 0);
        var bytes = new byte[kept.Sum(r => r.Length)];
        var at = 0;
        foreach (var record in kept)
        {
            directory.AsSpan(record.Start, Math.Min(record.Length, directory.Length - record.Start)).CopyTo(bytes.AsSpan(at));
            at += record.Length;
        }

        return (bytes, (uint)kept.Count);
    }

    private async ValueTask ScanDirectoryAsync(ReadOnlyMemory<byte> extension)
    {
        if (extension.Length != BitmapsExtension.Length)
        {
            LoseDirectory("the bitmaps extension has a wrong length", new(null, CheckTable.Header));
            return;
        }

        var place = BitmapsExtension.Read(extension.Span)!.Value;
        if (!place.IsPlausible(scan.Header.ClusterSize))
        {
            LoseDirectory("the bitmaps extension's numbers cannot be right", new(null, CheckTable.Header));
            return;
        }

        var (count, size, offset) = (place.Count, (long)place.DirectoryBytes, (long)place.DirectoryOffset);
        if (!scan.Reference(MetadataKind.Bitmap, offset, size, "the bitmap directory", remedy: CheckRemedy.DropBitmap))
        {
            isDamaged = HasLost = true;
            return;
        }

        directory = new byte[size]; // lies in the file, but for less than a cluster
        await scan.Reader.ReadAsync(offset, directory).ConfigureAwait(false);
        var clusters = new WeightedRanges();
        var bytes = new WeightedRanges();
        ReadEntries(offset, count, clusters, bytes);
        scan.Reference(MetadataKind.Bitmap, clusters);
        await ScanTablesAsync(bytes).ConfigureAwait(false);
    }

    private void ReadEntries(long offset, uint count, WeightedRanges clusters, WeightedRanges bytes)
    {
        var names = new HashSet<string>(StringComparer.Ordinal);
        var seen = 0u;
        for (var at = 0; at < directory.Length; seen++)
        {
            var place = new FindingPlace(offset + at, CheckTable.BitmapDirectory, seen);
            var rest = directory.AsSpan(at);
            var entry = rest.Length < BitmapEntry.FixedLength ? default : BitmapEntry.Read(rest);
            if (rest.Length < BitmapEntry.FixedLength || entry.Length > rest.Length || seen == BitmapsExtension.MaxBitmaps)
            {
                LoseDirectory($"entry {seen} of the bitmap directory is cut off", place);
                return;
            }

            if (!IsSound(entry))
            {
                Lose(CheckFindingKind.BitmapEntry, place, $"entry {seen} of the bitmap directory cannot be right");
            }
            else if (!names.Add(Encoding.Latin1.GetString(rest.Slice(BitmapEntry.FixedLength + (int)entry.ExtraBytes, entry.NameLength))))
            {
                Lose(CheckFindingKind.DuplicateBitmap, place, $"entry {seen} of the bitmap directory has the name of another");
            }
            else
            {
                AddTable(place, at, entry, clusters, bytes);
            }

            at += (int)entry.Length;
        }

        if (seen != count)
        {
            isDamaged = true;
            scan.Findings.Corruption(CheckFindingKind.BitmapDirectory, 1, CheckRemedy.DropBitmap, new(null, CheckTable.Header),
                $"the bitmap directory has {seen} bitmaps, and the header says {count}");
        }
    }

    private bool IsSound(in BitmapEntry entry) =>
        entry.ProblemIn(scan.Header) is null && !entry.IsBeyondUse && entry.TableOffset <= long.MaxValue - (1L << 40);

    private void AddTable(FindingPlace place, int at, in BitmapEntry entry, WeightedRanges clusters, WeightedRanges bytes)
    {
        var end = entry.TableOffset + (entry.TableEntries * 8L);
        if (!scan.AddTable(clusters, entry.TableOffset, entry.TableEntries * 8L, "a bitmap's table", place, CheckRemedy.DropBitmap))
        {
            isDamaged = HasLost = true;
            return;
        }

        records.Add(new(at, (int)entry.Length, entry.TableOffset, end));
        bytes.Add(entry.TableOffset, Math.Min(end, (scan.FileLength + 7) & ~7));
    }

    private async ValueTask ScanTablesAsync(WeightedRanges bytes)
    {
        var buffer = new byte[64 << 10];
        foreach (var (start, stop, weight, _) in bytes.Segments())
        {
            for (var at = start; at < stop; at += buffer.Length)
            {
                var piece = buffer.AsMemory(0, (int)Math.Min(buffer.Length, stop - at));
                await scan.Reader.ReadAsync(at, piece).ConfigureAwait(false);
                for (var i = 0; i < piece.Length; i += 8)
                {
                    CheckTableEntry(at + i, BinaryPrimitives.ReadUInt64BigEndian(piece.Span[i..]), weight);
                }
            }
        }
    }

    private void CheckTableEntry(long at, ulong raw, long weight)
    {
        var entry = new BitmapTableEntry(raw);
        var offset = entry.Cluster.Value;
        var place = new FindingPlace(at, CheckTable.BitmapTable);
        if (entry.HasReservedBits || (offset & (scan.Header.ClusterSize - 1)) != 0)
        {
            scan.Findings.Corruption(CheckFindingKind.BitmapTableEntry, weight, CheckRemedy.DropBitmap, place,
                scan.Findings.WantsLines ? $"bitmap table entry {raw:x16} is not valid" : null);
        }
        else if (offset == 0
            || scan.Reference(MetadataKind.Bitmap, offset, scan.Header.ClusterSize, "a bitmap's data", weight, place: place, remedy: CheckRemedy.DropBitmap))
        {
            return;
        }

        if (badPlaces.Count < MaxBadPlaces)
        {
            badPlaces.Add(at);
        }
    }

    private void Lose(CheckFindingKind kind, FindingPlace place, string line)
    {
        isDamaged = HasLost = true;
        scan.Findings.Corruption(kind, 1, CheckRemedy.DropBitmap, place, line);
    }

    private void LoseDirectory(string line, FindingPlace place) => Lose(CheckFindingKind.BitmapDirectory, place, line);
}
