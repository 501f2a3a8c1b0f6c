namespace Byre.Cli.Img;

/// <summary>The help of convert.</summary>
internal static class ConvertHelp
{
    /// <summary>The text, after the program's name and the verb's.</summary>
    public const string Usage = """
        [OPTIONS] SOURCE [SOURCE...] TARGET

        Copies images, one behind the other, to a target that is made for it. Zeroes are never read.

        The sources
          -f, --source-format FMT        their format; without it their first bytes tell
              --image-opts, --source-image-opts
                                         SOURCE is a list of options (driver=...,file.filename=...)
          -l, --source-snapshot SNAP     an internal snapshot: snapshot.id=ID,snapshot.name=NAME, or an id or a name
          -T, --source-cache MODE        none, writeback (default), writethrough, directsync, unsafe
          -U, --force-share              others may have them open for writing
              --bitmaps                  copy the source's persistent bitmaps, too
              --skip-broken-bitmaps      ... but for those that are inconsistent
              --salvage                  sectors that cannot be read become zeroes

        The target
          -O, --target-format FMT        its format (default raw)
          -o, --target-options LIST      options of the format; "-o help" lists them
          -B, --backing FILE             keep what FILE holds out of the target, and make FILE its backing file
          -F, --backing-format FMT       the format of that file
          -c, --compress                 store compressed
          -n, --no-create                the target exists
              --target-is-zero           ... and reads as zeroes
              --target-image-opts        TARGET is a list of options
          -t, --target-cache MODE        as for the sources (default unsafe)

        The work
          -S, --sparse-size SIZE         zeroes of this size become holes (default 4k; 0: allocate everything)
          -C, --copy-range-offloading    let the kernel copy (blocks are shared without it where the file system can)
          -m, --parallel N               requests at a time, 1 to 16 (default 8)
          -W, --oob-writes               write in any order
          -r, --rate BYTES               bytes a second
          -p, --progress[=json|plain|bar]
                                         tell how far it is
          -q, --quiet                    tell nothing
              --object DEFINITION        an object (a secret)
          -h, --help                     this text

        """;
}
