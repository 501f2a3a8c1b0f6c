using Byre.Formats.Qcow2;
using Byre.Formats.Qcow2.Manage;
using Byre.TestTools;

namespace Byre.Crash;

/// <summary>A kind of image that the suite crashes.</summary>
internal sealed record CrashConfiguration
{
    public required string Name { get; init; }

    /// <summary>What qemu-img create gets with -o.</summary>
    public required string Options { get; init; }

    /// <summary>It is made by Byre, so, and not by qemu-img; null: <see cref="Options"/> say how it is made.</summary>
    public Qcow2CreateOptions? Create { get; init; }

    public required int ClusterSize { get; init; }

    /// <summary>Length of the disk in sectors.</summary>
    public required int Sectors { get; init; }

    /// <summary>Sectors of the backing image; 0: there is none.</summary>
    public int BackingSectors { get; init; }

    public bool HasDataFile { get; init; }

    /// <summary>The disk is written and a snapshot made before the workload begins.</summary>
    public bool HasSnapshot { get; init; }

    public bool IsLazy { get; init; }

    /// <summary>The workload writes compressed clusters.</summary>
    public bool Compresses { get; init; } = true;

    public Qcow2OpenOptions OpenOptions { get; init; } = new();

    public int Operations { get; init; } = 60;

    /// <summary>In a stress run: the disk's sectors that one table maps; each table is written to first. 0: not so.</summary>
    public int SweepSectors { get; init; }

    /// <summary>In a stress run: the disk grows to so many sectors meanwhile. 0: it does not.</summary>
    public int GrowsTo { get; init; }

    /// <summary>In a stress run: one of so many requests to the file fails. 0: none.</summary>
    public int Fails { get; init; }

    /// <summary>In a stress run: requests are held up now and then, so that others overtake them.</summary>
    public bool Jitters { get; init; } = true;

    /// <summary>In a stress run: the most clusters that all threads are at.</summary>
    public int Window { get; init; } = 3;

    /// <summary>In a stress run: the image is crashed as well.</summary>
    public bool IsLogged { get; init; }

    public int SectorsPerCluster => ClusterSize / SectorContent.Size;

    public static IReadOnlyList<CrashConfiguration> All { get; } =
    [
        new() { Name = "512", Options = "cluster_size=512", ClusterSize = 512, Sectors = 400 },
        new() { Name = "4K", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 2048 },
        new() { Name = "64K", Options = "cluster_size=64k", ClusterSize = 65_536, Sectors = 8192 },
        new() { Name = "4K-v2", Options = "compat=0.10,cluster_size=4k", ClusterSize = 4096, Sectors = 2000 },
        new() { Name = "4K-v2-backing", Options = "compat=0.10,cluster_size=4k", ClusterSize = 4096, Sectors = 2000, BackingSectors = 1500 },
        new() { Name = "4K-backing", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 2000, BackingSectors = 1501 },
        new() { Name = "64K-backing", Options = "cluster_size=64k", ClusterSize = 65_536, Sectors = 6000, BackingSectors = 6000 },
        new() { Name = "16K-extended", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 4001 },
        new() { Name = "16K-extended-backing", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 4001, BackingSectors = 3001 },
        new() { Name = "64K-extended-backing", Options = "cluster_size=64k,extended_l2=on", ClusterSize = 65_536, Sectors = 6000, BackingSectors = 6000 },
        new() { Name = "4K-lazy", Options = "cluster_size=4k,lazy_refcounts=on", ClusterSize = 4096, Sectors = 2000, IsLazy = true },
        new() { Name = "4K-snapshot", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 1000, HasSnapshot = true },
        new() { Name = "16K-extended-snapshot", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 2000, HasSnapshot = true },
        new() { Name = "512-snapshot-backing", Options = "cluster_size=512", ClusterSize = 512, Sectors = 300, HasSnapshot = true, BackingSectors = 200 },
        new() { Name = "64K-datafile", Options = "cluster_size=64k,data_file=data.raw", ClusterSize = 65_536, Sectors = 6000, HasDataFile = true, Compresses = false },
        new() { Name = "4K-datafile-raw", Options = "cluster_size=4k,data_file=data.raw,data_file_raw=on", ClusterSize = 4096, Sectors = 2000, HasDataFile = true, Compresses = false },
        new() { Name = "512-wide-refcounts", Options = "cluster_size=512,refcount_bits=64", ClusterSize = 512, Sectors = 6000, Operations = 150 },
        new() { Name = "4K-narrow-refcounts", Options = "cluster_size=4k,refcount_bits=1", ClusterSize = 4096, Sectors = 2000, Compresses = false },
        new() { Name = "4K-zstd", Options = "cluster_size=4k,compression_type=zstd", ClusterSize = 4096, Sectors = 2000 },
        new()
        {
            Name = "4K-small-caches", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 8000,
            OpenOptions = new Qcow2OpenOptions { L2CacheBytes = 8192, RefcountCacheBytes = 8192, PassDiscardOther = true }, Operations = 100,
        },
        new()
        {
            Name = "512-small-caches", Options = "cluster_size=512,refcount_bits=64", ClusterSize = 512, Sectors = 2400, Operations = 200,
            OpenOptions = new Qcow2OpenOptions { L2CacheBytes = 1024, RefcountCacheBytes = 1024, PassDiscardOther = true },
        },
        new()
        {
            Name = "16K-small-slices", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 8000, BackingSectors = 7000,
            OpenOptions = new Qcow2OpenOptions { L2CacheBytes = 4096, L2SliceBytes = 512, CacheCleanInterval = TimeSpan.FromMilliseconds(1) }, Operations = 100,
        },
        new()
        {
            Name = "4K-luks", Options = "", ClusterSize = 4096, Sectors = 2000, Compresses = false,
            Create = new() { Size = 2000 * 512, ClusterBits = 12, Encryption = Qcow2Images.Encryption },
        },
        new()
        {
            Name = "64K-luks-backing", Options = "", ClusterSize = 65_536, Sectors = 4000, BackingSectors = 3001, Compresses = false,
            Create = new() { Size = 4000 * 512, Encryption = Qcow2Images.Encryption, BackingFile = "base.raw", BackingFormat = "raw" },
        },
        new()
        {
            Name = "16K-luks-extended", Options = "", ClusterSize = 16_384, Sectors = 4001, Compresses = false,
            Create = new() { Size = 4001 * 512, ClusterBits = 14, ExtendedL2 = true, Encryption = Qcow2Images.Encryption },
        },
        new()
        {
            Name = "4K-no-unref", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 2000, BackingSectors = 2000,
            OpenOptions = new Qcow2OpenOptions { DiscardNoUnref = true, PassDiscardRequest = false },
        },
    ];

    /// <summary>The kinds of image that many threads write at the same time; <see cref="Operations"/> are those of each.</summary>
    public static IReadOnlyList<CrashConfiguration> Stressed { get; } =
    [
        new()
        {
            Name = "512-tables", Options = "cluster_size=512,refcount_bits=64", ClusterSize = 512, Sectors = 65_536, SweepSectors = 64, Operations = 100,
        },
        new()
        {
            Name = "512-sweep", Options = "cluster_size=512", ClusterSize = 512, Sectors = 131_072, SweepSectors = 64, Operations = 0, Jitters = false,
        },
        new() { Name = "512-grows", Options = "cluster_size=512", ClusterSize = 512, Sectors = 2000, GrowsTo = 20_000, Operations = 300 },
        new() { Name = "4K-backing", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 2000, BackingSectors = 1501, Operations = 400 },
        new() { Name = "4K-snapshot", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 4000, HasSnapshot = true, Operations = 400 },
        new() { Name = "4K-v2", Options = "compat=0.10,cluster_size=4k", ClusterSize = 4096, Sectors = 2000, Operations = 300 },
        new() { Name = "4K-lazy", Options = "cluster_size=4k,lazy_refcounts=on", ClusterSize = 4096, Sectors = 2000, Operations = 300 },
        new() { Name = "64K", Options = "cluster_size=64k", ClusterSize = 65_536, Sectors = 4096, Operations = 300 },
        new()
        {
            Name = "16K-extended-backing", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 4001, BackingSectors = 3001,
            Operations = 600, Window = 1,
        },
        new()
        {
            Name = "64K-extended", Options = "cluster_size=64k,extended_l2=on", ClusterSize = 65_536, Sectors = 4096, Compresses = false, Operations = 600,
            Window = 1,
        },
        new()
        {
            Name = "64K-datafile", Options = "cluster_size=64k,data_file=data.raw", ClusterSize = 65_536, Sectors = 4096, HasDataFile = true,
            Compresses = false, Operations = 300,
        },
        new()
        {
            Name = "4K-small-caches", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 65_536, SweepSectors = 4096, Operations = 400,
            OpenOptions = new Qcow2OpenOptions { L2CacheBytes = 8192, RefcountCacheBytes = 8192, PassDiscardOther = true },
        },
        new()
        {
            Name = "512-crashed", Options = "cluster_size=512", ClusterSize = 512, Sectors = 2000, BackingSectors = 1501, IsLogged = true, Operations = 300,
            OpenOptions = new Qcow2OpenOptions { L2CacheBytes = 8192, RefcountCacheBytes = 8192 },
        },
        new() { Name = "4K-failing", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 2000, BackingSectors = 1501, Fails = 83, Operations = 400 },
        new()
        {
            Name = "16K-extended-failing", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 4000, Fails = 83, Operations = 400,
            Window = 1,
        },
        new() { Name = "16K-extended-crashed", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 2000, IsLogged = true, Operations = 300, Window = 1 },
    ];

    /// <summary>The kinds of image in which every request is made to fail: small, since each costs a workload.</summary>
    public static IReadOnlyList<CrashConfiguration> Faulted { get; } =
    [
        new() { Name = "512", Options = "cluster_size=512,refcount_bits=64", ClusterSize = 512, Sectors = 200, Operations = 14 },
        new() { Name = "4K-backing", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 300, BackingSectors = 201, Operations = 14 },
        new() { Name = "4K-v2", Options = "compat=0.10,cluster_size=4k", ClusterSize = 4096, Sectors = 300, Operations = 14 },
        new() { Name = "4K-lazy", Options = "cluster_size=4k,lazy_refcounts=on", ClusterSize = 4096, Sectors = 300, IsLazy = true, Operations = 14 },
        new() { Name = "4K-snapshot", Options = "cluster_size=4k", ClusterSize = 4096, Sectors = 300, HasSnapshot = true, Operations = 14 },
        new()
        {
            Name = "16K-extended-backing", Options = "cluster_size=16k,extended_l2=on", ClusterSize = 16_384, Sectors = 321, BackingSectors = 200,
            Operations = 14,
        },
        new()
        {
            Name = "4K-luks", Options = "", ClusterSize = 4096, Sectors = 300, Compresses = false, Operations = 10,
            Create = new() { Size = 300 * 512, ClusterBits = 12, Encryption = Qcow2Images.Encryption },
        },
        new()
        {
            Name = "4K-datafile", Options = "cluster_size=4k,data_file=data.raw", ClusterSize = 4096, Sectors = 300, HasDataFile = true, Compresses = false,
            Operations = 14,
        },
        new()
        {
            Name = "4K-datafile-raw", Options = "cluster_size=4k,data_file=data.raw,data_file_raw=on", ClusterSize = 4096, Sectors = 300,
            HasDataFile = true, Compresses = false, Operations = 14,
        },
        new()
        {
            Name = "512-small-caches", Options = "cluster_size=512", ClusterSize = 512, Sectors = 600, Operations = 20,
            OpenOptions = new Qcow2OpenOptions { L2CacheBytes = 1024, RefcountCacheBytes = 1024, PassDiscardOther = true },
        },
    ];

    public override string ToString() => Name;
}
