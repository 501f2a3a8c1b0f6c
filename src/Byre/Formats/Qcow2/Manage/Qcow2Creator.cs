using System.Numerics;
using Byre.Formats.Luks;
using Byre.Formats.Qcow2.Layout;
using Byre.Nodes;

namespace Byre.Formats.Qcow2.Manage;

/// <summary>Makes new images.</summary>
public static class Qcow2Creator
{
    private const int Sector = 512;

    /// <summary>Checks that the wishes go together.</summary>
    /// <exception cref="BlockException">
    /// <see cref="ErrorCode.Invalid"/>: they do not, or the names do not fit in the header; <see cref="ErrorCode.TooLarge"/>:
    /// the disk is longer than clusters of this size can map.
    /// </exception>
    public static void Validate(Qcow2CreateOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.ClusterBits is < Qcow2Limits.MinClusterBits or > Qcow2Limits.MaxClusterBits)
        {
            throw Invalid("A cluster has 512 bytes to 2 MiB, a power of two");
        }

        if (options.Version is not (2 or 3))
        {
            throw Invalid($"Version {options.Version} is not one of 2 (compat=0.10) and 3 (compat=1.1)");
        }

        if (options.RefcountBits is < 1 or > 64 || !BitOperations.IsPow2(options.RefcountBits))
        {
            throw Invalid("A refcount has 1, 2, 4, 8, 16, 32 or 64 bits");
        }

        if (options.Version < 3)
        {
            ValidateVersion2(options);
        }

        if (options.ExtendedL2 && options.ClusterBits < Qcow2Limits.MinSubclusterClusterBits)
        {
            throw Invalid("Extended L2 entries (extended_l2) need clusters of at least 16 KiB");
        }

        if (options.CompressionType > Qcow2CompressionType.Zstd)
        {
            throw Invalid("The compression type is not one of zlib and zstd");
        }

        if (options.DataFileRaw && options.DataFileName is null)
        {
            throw Invalid("A raw data file is asked for (data_file_raw), and no data file is named");
        }

        if (options.BackingFile is null && options.BackingFormat is not null)
        {
            throw Invalid("The format of a backing file is given, and no backing file");
        }

        if (options.BackingFile is not null && options.DataFileRaw)
        {
            throw Invalid("An image with a raw data file (data_file_raw) can have no backing file");
        }

        if (options.BackingFile is not null && options.Preallocation != Preallocation.Off && !options.ExtendedL2)
        {
            throw Invalid("An image with a backing file can be preallocated only with extended_l2=on: its clusters would hide the backing file");
        }

        if (options.Encryption is not null)
        {
            ValidateEncryption(options);
        }

        if (options.Size < 0)
        {
            throw Invalid("An image cannot have less than 0 bytes");
        }

        var geometry = options.Geometry;
        if (options.Size > long.MaxValue - 511 || options.RoundedSize > geometry.MaxSize
            || PlanFor(options).RefcountTableClusters << options.ClusterBits > Qcow2Limits.MaxRefcountTableBytes)
        {
            throw new BlockException(ErrorCode.TooLarge, "The image is too long for clusters of this size: larger clusters reach farther");
        }

        // Names that do not fit are found here, before a file exists.
        _ = HeaderFor(options, PlanFor(options), isAllZero: false).ToBytes();
    }

    /// <summary>
    /// Makes an image. What the file held before is lost. When the task completes the image is complete and on stable
    /// storage; the header's first sector is written last, so that before there is no image.
    /// </summary>
    /// <param name="file">The image file; may be written and resized. A device keeps its length.</param>
    /// <param name="dataFile">The external data file where the options name one, otherwise null; grown to the disk's length.</param>
    /// <param name="options">What the image is to be.</param>
    /// <exception cref="BlockException">As <see cref="Validate"/>, or a file cannot be written.</exception>
    public static async ValueTask CreateAsync(BlockEdge file, BlockEdge? dataFile, Qcow2CreateOptions options)
    {
        ArgumentNullException.ThrowIfNull(file);
        Validate(options);
        if ((dataFile is null) != (options.DataFileName is null))
        {
            throw Invalid("A data file and its name belong together");
        }

        var plan = PlanFor(options);
        await file.ResizeAsync(0).ConfigureAwait(false);
        var isFixed = file.Length > 0;
        if (isFixed)
        {
            await file.WriteZeroesAsync(0, Math.Min(file.Length, 1L << options.ClusterBits)).ConfigureAwait(false);
            await file.FlushAsync().ConfigureAwait(false);
        }

        var dataWasEmpty = dataFile is null || dataFile.Length == 0;
        if (dataFile is not null)
        {
            await GrowDataFileAsync(dataFile, options).ConfigureAwait(false);
        }

        await WriteTablesAsync(file, plan, options, isFixed).ConfigureAwait(false);
        if (options.Encryption is { } luks)
        {
            await WriteLuksAsync(file, plan, luks).ConfigureAwait(false);
        }

        await AllocateDataAsync(file, plan, options, isFixed).ConfigureAwait(false);
        if (dataFile is not null)
        {
            await dataFile.FlushAsync().ConfigureAwait(false);
        }

        // Its first sector makes it an image, and is written alone, when the names that follow are on stable storage.
        var header = HeaderFor(options, plan, options.Version >= 3 && options.BackingFile is null && dataWasEmpty).ToBytes();
        var first = Math.Min(header.Length, Sector);
        if (header.Length > first)
        {
            await file.WriteAsync(first, header.AsMemory(first)).ConfigureAwait(false);
        }

        await file.FlushAsync().ConfigureAwait(false);
        await file.WriteAsync(0, header.AsMemory(0, first)).ConfigureAwait(false);
        await file.FlushAsync().ConfigureAwait(false);
    }

    private static void ValidateEncryption(Qcow2CreateOptions options)
    {
        if (options.DataFileRaw)
        {
            throw Invalid("An encrypted image has no raw data file (data_file_raw): the file would not hold what the guest sees");
        }

        if (options.Version < 3 && options.Preallocation != Preallocation.Off)
        {
            throw Invalid("An encrypted image can be preallocated only in version 3 (compat=1.1): version 2 cannot say that space is zero");
        }
    }

    private static void ValidateVersion2(Qcow2CreateOptions options)
    {
        const string Needs = "an image of version 3 (compat=1.1)";
        if (options.RefcountBits != 16)
        {
            throw Invalid($"Refcounts of other than 16 bits need {Needs}");
        }

        if (options.LazyRefcounts)
        {
            throw Invalid($"Lazy refcounts need {Needs}");
        }

        if (options.DataFileName is not null)
        {
            throw Invalid($"An external data file needs {Needs}");
        }

        if (options.ExtendedL2)
        {
            throw Invalid($"Extended L2 entries need {Needs}");
        }

        if (options.CompressionType != Qcow2CompressionType.Zlib)
        {
            throw Invalid($"A compression type other than zlib needs {Needs}");
        }
    }

    private static ImagePlan PlanFor(Qcow2CreateOptions options)
    {
        var isMapped = options.EffectivePreallocation != Preallocation.Off;
        return ImagePlan.For(options.Geometry, options.RoundedSize, isMapped, isMapped && options.DataFileName is null, options.Encryption?.PayloadOffset ?? 0);
    }

    private static Qcow2Header HeaderFor(Qcow2CreateOptions options, in ImagePlan plan, bool isAllZero)
    {
        var incompatible = IncompatibleFeatures.None;
        incompatible |= options.DataFileName is not null ? IncompatibleFeatures.DataFile : 0;
        incompatible |= options.CompressionType != Qcow2CompressionType.Zlib ? IncompatibleFeatures.CompressionType : 0;
        incompatible |= options.ExtendedL2 ? IncompatibleFeatures.ExtendedL2 : 0;
        return new Qcow2Header
        {
            Version = options.Version,
            ClusterBits = options.ClusterBits,
            Size = options.RoundedSize,
            L1Entries = (uint)plan.L1Entries,
            L1Offset = plan.L1Entries == 0 ? 0 : plan.L1Start << options.ClusterBits,
            RefcountTableOffset = ImagePlan.RefcountTableStart << options.ClusterBits,
            RefcountTableClusters = (uint)plan.RefcountTableClusters,
            Incompatible = incompatible,
            Compatible = options.LazyRefcounts ? CompatibleFeatures.LazyRefcounts : CompatibleFeatures.None,
            Autoclear = (options.DataFileRaw ? AutoclearFeatures.RawExternalData : AutoclearFeatures.None)
                | (isAllZero ? AutoclearFeatures.AllZero : AutoclearFeatures.None),
            RefcountOrder = BitOperations.Log2((uint)options.RefcountBits),
            HeaderLength = options.Version < 3 ? HeaderFields.Version2Length : HeaderFields.Version3Length,
            CompressionType = options.CompressionType,
            CryptMethod = options.Encryption is null ? EncryptionHeader.None : EncryptionHeader.Luks,
            Extensions = options.Encryption is { } luks
                ? [EncryptionHeader.ExtensionFor(plan.LuksStart << options.ClusterBits, luks.PayloadOffset)] : [],
            BackingFile = options.BackingFile,
            BackingFormat = options.BackingFormat,
            DataFileName = options.DataFileName,
        };
    }

    private static async ValueTask WriteTablesAsync(BlockEdge file, ImagePlan plan, Qcow2CreateOptions options, bool isFixed)
    {
        var bits = options.ClusterBits;

        // As long as what is used; a last L1 table is not padded.
        var end = plan.L2Tables == 0 && plan.LuksClusters == 0 ? (plan.L1Start << bits) + (plan.L1Entries * 8) : plan.DataStart << bits;
        if (!isFixed)
        {
            await file.ResizeAsync(end).ConfigureAwait(false);
        }

        using var writer = new SequentialWriter(file, 0);
        await writer.PadAsync(ImagePlan.RefcountTableStart << bits).ConfigureAwait(false);
        for (var i = 0L; i < plan.RefcountBlocks; i++)
        {
            await writer.AppendAsync((ulong)((plan.RefcountBlocksStart + i) << bits)).ConfigureAwait(false);
        }

        await writer.PadAsync(plan.RefcountBlocksStart << bits).ConfigureAwait(false);
        await WriteRefcountsAsync(writer, plan).ConfigureAwait(false);
        for (var i = 0L; i < plan.L1Entries; i++)
        {
            await writer.AppendAsync(plan.L2Tables == 0 ? 0 : L1Entry.For(new HostOffset((plan.L2Start + i) << bits), copied: true).Raw)
                .ConfigureAwait(false);
        }

        if (plan.LuksClusters != 0)
        {
            await writer.PadAsync(plan.L2Start << bits).ConfigureAwait(false);
        }

        if (plan.L2Tables != 0)
        {
            await writer.PadAsync(plan.L2Start << bits).ConfigureAwait(false);
            await WriteL2Async(writer, plan, options).ConfigureAwait(false);
            await writer.PadAsync(end).ConfigureAwait(false);
        }

        await writer.FlushAsync().ConfigureAwait(false);
    }

    /// <summary>One reference for every cluster.</summary>
    private static async ValueTask WriteRefcountsAsync(SequentialWriter writer, ImagePlan plan)
    {
        var order = plan.Geometry.RefcountOrder;
        var block = new byte[plan.Geometry.ClusterSize];
        for (var i = 0; i < plan.Geometry.RefcountBlockEntries; i++)
        {
            RefcountWidth.Set(block, order, i, 1);
        }

        for (var i = 0L; i < plan.RefcountBlocks; i++)
        {
            var left = plan.TotalClusters - (i << plan.Geometry.RefcountBlockBits);
            for (var j = left; j < plan.Geometry.RefcountBlockEntries; j++)
            {
                RefcountWidth.Set(block, order, (int)j, 0);
            }

            await writer.AppendAsync(block).ConfigureAwait(false);
        }
    }

    private static async ValueTask WriteL2Async(SequentialWriter writer, ImagePlan plan, Qcow2CreateOptions options)
    {
        var geometry = plan.Geometry;
        var clusters = geometry.ClustersFor(options.RoundedSize);
        var start = options.DataFileName is not null ? 0 : plan.DataStart;

        // With subclusters a reserved cluster says nothing yet; a raw data file's content is there already.
        var bitmap = options.DataFileRaw ? L2Entry.AllData : 0;
        for (var i = 0L; i < clusters; i++)
        {
            // Nor does it with encryption, where zeroes on the host are none to the guest.
            var host = new HostOffset((start + i) << geometry.ClusterBits);
            var entry = options.Encryption is not null && !geometry.HasSubclusters
                ? L2Entry.ZeroAllocated(geometry, host, copied: true) : L2Entry.Normal(geometry, host, copied: true, bitmap);
            await writer.AppendAsync(entry.Raw).ConfigureAwait(false);
            if (geometry.HasSubclusters)
            {
                await writer.AppendAsync(entry.Bitmap).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The LUKS header and the first key slot, in space that is zero so far.</summary>
    private static async ValueTask WriteLuksAsync(BlockEdge file, ImagePlan plan, LuksCreateOptions luks) =>
        await LuksFormatter.FormatAsync(new LuksArea(file, plan.LuksStart << plan.Geometry.ClusterBits, luks.PayloadOffset), luks).ConfigureAwait(false);

    private static async ValueTask AllocateDataAsync(BlockEdge file, ImagePlan plan, Qcow2CreateOptions options, bool isFixed)
    {
        if (plan.DataClusters == 0)
        {
            return;
        }

        var end = plan.TotalClusters << options.ClusterBits;
        if (isFixed)
        {
            // A device holds whatever was there before.
            var start = plan.DataStart << options.ClusterBits;
            await file.WriteZeroesAsync(start, end - start).ConfigureAwait(false);
            return;
        }

        await file.ResizeAsync(end, OnFile(options.Preallocation)).ConfigureAwait(false);
    }

    private static async ValueTask GrowDataFileAsync(BlockEdge dataFile, Qcow2CreateOptions options)
    {
        if (dataFile.Length < options.RoundedSize)
        {
            await dataFile.ResizeAsync(options.RoundedSize, OnFile(options.Preallocation)).ConfigureAwait(false);
        }
    }

    private static Preallocation OnFile(Preallocation wanted) =>
        wanted == Preallocation.Metadata ? Preallocation.Off : wanted;

    private static BlockException Invalid(string message) => new(ErrorCode.Invalid, message);
}
