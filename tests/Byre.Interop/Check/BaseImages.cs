namespace Byre.Interop.Check;

/// <summary>Sound images of many kinds, made by the real tools.</summary>
internal static class BaseImages
{
    public static readonly string[] Names =
        ["plain", "v2", "tiny-clusters", "wide-refcounts", "snapshots", "subclusters", "data-file", "bitmaps", "preallocated"];

    /// <summary>Makes one.</summary>
    public static string Make(string directory, string name)
    {
        var path = Path.Combine(directory, name + ".qcow2");
        var data = Path.Combine(directory, name + ".raw");
        var options = name switch
        {
            "v2" => "compat=0.10",
            "tiny-clusters" => "cluster_size=512,refcount_bits=1",
            "wide-refcounts" => "cluster_size=4096,refcount_bits=64",
            "snapshots" => "cluster_size=4096",
            "subclusters" => "extended_l2=on,cluster_size=16384",
            "data-file" => $"cluster_size=4096,data_file={data}",
            "preallocated" => "preallocation=metadata,cluster_size=4096",
            _ => "cluster_size=65536",
        };
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, "4M");
        List<string> writes = ["-c", "write -q 0 256k", "-c", "write -q 1M 300k", "-c", "write -q 700k 10k", "-c", "write -q 2600k 1k"];
        if (name != "v2")
        {
            writes.AddRange(["-c", "write -q -z 1M 128k", "-c", "write -q -z 3M 128k"]);
        }

        if (name is not ("data-file" or "preallocated"))
        {
            writes.AddRange(["-c", "write -q -c 2M 64k", "-c", "write -q -c 3520k 64k"]);
        }

        QemuImg.Must("qemu-io", [.. writes, path]);

        if (name == "snapshots")
        {
            QemuImg.Must("qemu-img", "snapshot", "-c", "one", path);
            QemuImg.Must("qemu-io", "-c", "write -q 64k 64k", path);
            QemuImg.Must("qemu-img", "snapshot", "-c", "two", path);
            QemuImg.Must("qemu-io", "-c", "write -q 1100k 640k", path);
        }

        if (name == "bitmaps")
        {
            QemuImg.Must("qemu-img", "bitmap", "--add", path, "first");
            QemuImg.Must("qemu-io", "-c", "write -q 64k 64k", path);
            QemuImg.Must("qemu-img", "bitmap", "--add", "-g", "4096", path, "second");
        }

        return path;
    }
}
