using Byre.Interop.Check;
using Byre.Interop.Img;

namespace Byre.Interop.Conversion;

/// <summary>
/// Command lines of convert as a newcomer types them: what qemu-img takes is taken and gives the same disk, what it refuses is
/// refused with its status, and nothing that was there is lost.
/// </summary>
public sealed class ConvertTableTests(ConvertTableImages images) : IClassFixture<ConvertTableImages>, IDisposable
{
    private static readonly string[] Names = ["raw", "odd", "qcow2", "over", "new", "there", "small", "missing", "nodir/new", "data"];

    private readonly string directory = Directory.CreateTempSubdirectory("byre-table-").FullName;

    public void Dispose() => Directory.Delete(directory, recursive: true);

    [Theory]

    // formats and names
    [InlineData("@raw @new")]
    [InlineData("-O qcow2 @raw @new")]
    [InlineData("-f raw -O qcow2 @raw @there")]
    [InlineData("-f qcow2 @raw @new")]
    [InlineData("-f raw @qcow2 @new")]
    [InlineData("-f nope @raw @new")]
    [InlineData("-O nope @raw @new")]
    [InlineData("-O file @raw @new")]
    [InlineData("-O qcow2 @odd @new")]
    [InlineData("-O qcow2 @over @new")]
    [InlineData("-O qcow2 @missing @new")]
    [InlineData("-O qcow2 @raw @nodir/new")]
    [InlineData("-O qcow2 @raw")]
    [InlineData("-O qcow2")]
    [InlineData("")]
    [InlineData("@raw @qcow2 @new")]
    [InlineData("@raw @missing @new")]
    [InlineData("-O qcow2 -- @raw @new")]
    [InlineData("@raw -O qcow2 @new")]
    [InlineData("--bogus @raw @new")]
    [InlineData("-Z @raw @new")]
    [InlineData("-f")]

    // names that are options
    [InlineData("--image-opts -O qcow2 driver=raw,file.driver=file,file.filename=@raw @new")]
    [InlineData("--image-opts -f raw -O qcow2 file.filename=@raw @new")]
    [InlineData("--image-opts -O qcow2 @raw @new")]
    [InlineData("--image-opts -O qcow2 driver=nope,file.filename=@raw @new")]
    [InlineData("--image-opts -O qcow2 driver=raw,file.filename=@raw,bogus=1 @new")]
    [InlineData("--target-image-opts @raw driver=qcow2,file.filename=@there")]
    [InlineData("-n --target-image-opts @raw driver=qcow2,file.filename=@there")]
    [InlineData("-n --target-image-opts -O qcow2 @raw driver=qcow2,file.filename=@there")]
    [InlineData("-n --target-image-opts @raw driver=qcow2,file.filename=@missing")]

    // options of the target
    [InlineData("-O qcow2 -o compat=0.10 @raw @new")]
    [InlineData("-O qcow2 -o compat=0.10,lazy_refcounts=on @raw @new")]
    [InlineData("-O qcow2 -o cluster_size=3k @raw @new")]
    [InlineData("-O qcow2 -o cluster_size=4M @raw @new")]
    [InlineData("-O qcow2 -o cluster_size=512,refcount_bits=1 @raw @new")]
    [InlineData("-O qcow2 -o extended_l2=on,cluster_size=4k @raw @new")]
    [InlineData("-O qcow2 -o compression_type=lzma @raw @new")]
    [InlineData("-O qcow2 -o preallocation=metadata @raw @new")]
    [InlineData("-O qcow2 -o preallocation=bogus @raw @new")]
    [InlineData("-O raw -o preallocation=metadata @raw @new")]
    [InlineData("-O raw -o preallocation=full @raw @new")]
    [InlineData("-O qcow2 -o size=1M @raw @new")]
    [InlineData("-O qcow2 -o nope=1 @raw @new")]
    [InlineData("-O qcow2 -o , @raw @new")]
    [InlineData("-O qcow2 -o cluster_size=4k, @raw @new")]
    [InlineData("-O qcow2 -o cluster_size=4k -o cluster_size=8k @raw @new")]
    [InlineData("-O raw -o cluster_size=4k @raw @new")]
    [InlineData("-O qcow2 -o data_file=@data @raw @new")]
    [InlineData("-O qcow2 -o data_file=@data,data_file_raw=on @raw @new")]
    [InlineData("-O qcow2 -o data_file_raw=on @raw @new")]

    // compression
    [InlineData("-c @raw @new")]
    [InlineData("-c -O qcow2 @odd @new")]
    [InlineData("-c -O qcow2 -o data_file=@data @raw @new")]
    [InlineData("-c -O qcow2 -o preallocation=falloc @raw @new")]
    [InlineData("-c -S 0 -O qcow2 @raw @new")]
    [InlineData("-c -C -O qcow2 @raw @new")]
    [InlineData("-c -W -m 1 -O qcow2 @raw @new")]

    // backing files
    [InlineData("-O qcow2 -B @qcow2 -F qcow2 @over @new")]
    [InlineData("-O qcow2 -B @qcow2 @over @new")]
    [InlineData("-O qcow2 -F qcow2 @over @new")]
    [InlineData("-O qcow2 -B @missing -F qcow2 @over @new")]
    [InlineData("-O qcow2 -B @qcow2 -F raw @over @new")]
    [InlineData("-O raw -B @qcow2 -F qcow2 @over @new")]
    [InlineData("-O qcow2 -B @qcow2 -F qcow2 @raw @odd @new")]
    [InlineData("-O qcow2 -o backing_file=@qcow2,backing_fmt=qcow2 @over @new")]
    [InlineData("-O qcow2 -B @qcow2 -o backing_file=@qcow2,backing_fmt=qcow2 @over @new")]

    // a target that is there
    [InlineData("-n -O qcow2 @raw @there")]
    [InlineData("-n @raw @there")]
    [InlineData("-n -O qcow2 @raw @small")]
    [InlineData("-n -O qcow2 @raw @missing")]
    [InlineData("-n -O qcow2 -o cluster_size=4k @raw @there")]
    [InlineData("-n --target-is-zero -O qcow2 @raw @there")]
    [InlineData("--target-is-zero -O qcow2 @raw @new")]
    [InlineData("-n -c -O qcow2 @raw @there")]
    [InlineData("-O qcow2 @qcow2 @qcow2")]

    // numbers and modes
    [InlineData("-S 4k @raw @new")]
    [InlineData("-S 0 @raw @new")]
    [InlineData("-S 1000 @raw @new")]
    [InlineData("-S -1 @raw @new")]
    [InlineData("-S 32M @raw @new")]
    [InlineData("-S x @raw @new")]
    [InlineData("-m 1 @raw @new")]
    [InlineData("-m 16 -W @raw @new")]
    [InlineData("-m 0 @raw @new")]
    [InlineData("-m 17 @raw @new")]
    [InlineData("-m x @raw @new")]
    [InlineData("-r 1G @raw @new")]
    [InlineData("-r x @raw @new")]
    [InlineData("-r -5 @raw @new")]
    [InlineData("-t none -T none @raw @new")]
    [InlineData("-t directsync @raw @new")]
    [InlineData("-t bogus @raw @new")]
    [InlineData("-T bogus @raw @new")]
    [InlineData("-C @raw @new")]
    [InlineData("-C -S 4k @raw @new")]
    [InlineData("-C --salvage @raw @new")]
    [InlineData("--salvage @raw @new")]
    [InlineData("-U @raw @new")]
    [InlineData("-q -p @raw @new")]
    [InlineData("-l nothing -O qcow2 @qcow2 @new")]
    [InlineData("-l snapshot.bogus=1 -O qcow2 @qcow2 @new")]
    [InlineData("--skip-broken-bitmaps -O qcow2 @qcow2 @new")]
    [InlineData("--object secret,id=s,data=x @raw @new")]
    [InlineData("--object nope,id=s @raw @new")]
    [InlineData("--object secret @raw @new")]
    public async Task The_status_is_qemu_imgs_and_so_is_the_disk(string line)
    {
        var (theirWords, ourWords) = (Set("theirs", line), Set("ours", line));
        var theirs = QemuImg.Run(QemuImg.Programs[^1], ["convert", .. theirWords]);
        var ours = await Tools.ByreAsync(["convert", .. ourWords]);
        Assert.True(theirs.Status == ours.Status, $"{theirs.Status} {theirs.Errors}/ {ours.Status} {ours.Errors}");
        Assert.True(theirs.Errors.Length > 0 == ours.Errors.Length > 0, $"{theirs.Errors}/ {ours.Errors}");
        if (ours.Status != 0)
        {
            Assert.True(ours.Errors.Count(c => c == '\n') == 1, ours.Errors);
            Assert.False(File.Exists(At("ours", "new")), ours.Errors);
        }
        else
        {
            var target = line.Split('@')[^1];
            var format = line.Contains("-O qcow2", StringComparison.Ordinal) || line.Contains("driver=qcow2", StringComparison.Ordinal)
                ? "qcow2" : "raw";
            QemuImg.Must("qemu-img", "compare", "-f", format, "-F", format, At("theirs", target), At("ours", target));
        }
    }

    private string[] Set(string side, string line)
    {
        Directory.CreateDirectory(At(side, ""));
        foreach (var file in Directory.GetFiles(images.Path))
        {
            File.Copy(file, At(side, Path.GetFileName(file)));
        }

        foreach (var name in Names.OrderByDescending(n => n.Length))
        {
            line = line.Replace("@" + name, At(side, name), StringComparison.Ordinal);
        }

        return line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
    }

    private string At(string side, string name) => Path.Combine(directory, side, name);
}
