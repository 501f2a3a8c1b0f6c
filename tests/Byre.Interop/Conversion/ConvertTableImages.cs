using Byre.Interop.Check;

namespace Byre.Interop.Conversion;

/// <summary>The images that the table's lines name, made once; each test works on copies.</summary>
public sealed class ConvertTableImages : IDisposable
{
    /// <summary>Makes them: raw, odd, qcow2, over (on qcow2), there, small.</summary>
    public ConvertTableImages()
    {
        TestDisks.Make(At("raw"), 1 << 20, 4, 1);
        TestDisks.Make(At("odd"), 300_000, 3, 2);
        QemuImg.Must("qemu-img", "convert", "-f", "raw", "-O", "qcow2", At("raw"), At("qcow2"));
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", "-b", "qcow2", "-F", "qcow2", At("over"));
        QemuImg.Must("qemu-io", "-c", "write -q -P 3 64k 100k", At("over"));
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", At("there"), "1M");
        QemuImg.Must("qemu-img", "create", "-q", "-f", "qcow2", At("small"), "64k");
    }

    /// <summary>Their folder.</summary>
    public string Path { get; } = Directory.CreateTempSubdirectory("byre-images-").FullName;

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(Path, recursive: true);

    private string At(string name) => System.IO.Path.Combine(Path, name);
}
