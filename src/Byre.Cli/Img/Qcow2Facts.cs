using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Layout;
using Byre.Formats.Qcow2.Manage;

namespace Byre.Cli.Img;

/// <summary>What info tells of qcow2, in QEMU's order and names.</summary>
internal static class Qcow2Facts
{
    private const uint Aes = 1;

    /// <summary>Tells it.</summary>
    public static void Tell(Qcow2Header header, LuksHeader? luks, IReadOnlyList<Qcow2BitmapInfo> bitmaps, IFacts facts)
    {
        var isOld = header.Version < 3;
        facts.Add("compat", isOld ? "0.10" : "1.1");
        facts.Add("compression-type", header.CompressionType == Qcow2CompressionType.Zstd ? "zstd" : "zlib");
        if (!isOld)
        {
            facts.Add("lazy-refcounts", (header.Compatible & CompatibleFeatures.LazyRefcounts) != 0);
            TellBitmaps(bitmaps, facts);
        }

        facts.Add("refcount-bits", header.RefcountBits);
        if (header.CryptMethod != 0)
        {
            facts.Begin("encrypt");
            if (luks is not null)
            {
                LuksFacts.Tell(luks, isInImage: true, facts);
            }
            else
            {
                facts.Add("format", header.CryptMethod == Aes ? "aes" : "luks");
            }

            facts.End();
        }

        if (isOld)
        {
            return;
        }

        if (header.HasDataFile)
        {
            if (header.DataFileName is { } name)
            {
                facts.Add("data-file", name);
            }

            facts.Add("data-file-raw", (header.Autoclear & AutoclearFeatures.RawExternalData) != 0);
        }

        facts.Add("corrupt", (header.Incompatible & IncompatibleFeatures.Corrupt) != 0);
        facts.Add("extended-l2", header.HasSubclusters);
        if ((header.Autoclear & AutoclearFeatures.AllZero) != 0)
        {
            facts.Add("all-zero", true);
        }
    }

    private static void TellBitmaps(IReadOnlyList<Qcow2BitmapInfo> bitmaps, IFacts facts)
    {
        if (bitmaps.Count == 0)
        {
            return;
        }

        facts.BeginList("bitmaps");
        for (var i = 0; i < bitmaps.Count; i++)
        {
            facts.BeginItem(i);
            facts.BeginList("flags");
            var flags = 0;
            if (bitmaps[i].IsInUse)
            {
                facts.AddItem(flags++, "in-use");
            }

            if (bitmaps[i].IsAuto)
            {
                facts.AddItem(flags, "auto");
            }

            facts.EndList();
            facts.Add("name", bitmaps[i].Name);
            facts.Add("granularity", bitmaps[i].Granularity);
            facts.EndItem();
        }

        facts.EndList();
    }
}
