namespace Byre.Cli.Io;

/// <summary>The applet's help.</summary>
internal static class IoHelp
{
    /// <summary>The text of -h.</summary>
    public static string Text(string program) => $"""
        Usage: {program} [OPTIONS]... [-c COMMAND]... [FILE]
        Reads, writes and examines a disk image by commands.

          -c, --cmd COMMAND     run the command (may be given again); without it commands
                                are read from standard input
          -f, --format FMT      the format of the image; without it, it is probed
              --image-opts      FILE is a list of driver options
              --object DEF      define an object, for example a secret
          -r, --read-only       open for reading only
          -s, --snapshot        write to a temporary overlay, which is deleted at the end
          -U, --force-share     share the image with programs that write to it
          -t, --cache MODE      none, writeback, writethrough, directsync or unsafe
          -n, --nocache         as -t none
          -d, --discard MODE    ignore or unmap
          -C, --copy-on-read    store what is read from backing layers
          -i, --aio MODE        threads, native or io_uring (checked, then ignored)
          -k, --native-aio      as -i native
          -m, --misalign        accepted; buffers are aligned where they must be
          -T, --trace SPEC      accepted; there are no trace events
          -h, --help            print this
          -V, --version         print the version

        '{program} -c help' lists the commands.

        """;
}
