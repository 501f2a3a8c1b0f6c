namespace Byre.Cli.Serve;

/// <summary>What the server says of itself.</summary>
internal static class ServeHelp
{
    private const string QemuVersion = "10.0.2";

    /// <summary>--version.</summary>
    public static string Version(string program) =>
        $"{(program == "qemu-nbd" ? $"qemu-nbd {QemuVersion} (Byre {Product.Version})" : $"{program} {Product.Version}")}\nServes disk images over the NBD protocol\n";

    /// <summary>--help.</summary>
    public static string Text(string program) => $"""
        Usage: {program} [OPTIONS] FILE
               {program} [OPTIONS] --export name=NAME,file=FILE,... [--export ...]
               {program} -L [OPTIONS]
        Serves disk images over the NBD protocol.

          -h, --help                   print this and end
          -V, --version                print the version and end

        Where clients connect:
          -p, --port=PORT              the TCP port (10809)
          -b, --bind=HOST              the address to listen at (0.0.0.0)
          -k, --socket=PATH            a Unix domain socket instead; the path is absolute
              --stdio                  the one client is on standard input and output
          -e, --shared=N               serve N clients at a time (1), 0 for any number
              --max-connections=N      the same, if both are given it counts
          -t, --persistent             go on when the last client has left
              --handshake-limit=N      a handshake takes N seconds at most (10), 0 for no limit
              --tls-creds=ID           TLS is a must, with these credentials (--object tls-creds-x509 or tls-creds-psk)
              --tls-authz=ID           who may connect (--object authz-simple, authz-list or authz-list-file)
              --selinux-label=LABEL    the label of the listening socket

        What they see:
          -x, --export-name=NAME       the export's name (empty)
          -D, --description=TEXT       a text about it
          -o, --offset=OFFSET          the image from there on
          -r, --read-only              clients may not change it
          -s, --snapshot               changes go to a temporary image and are gone with the server
          -l, --load-snapshot=SNAPSHOT an internal snapshot: its name or id, or snapshot.id=ID,snapshot.name=NAME
          -A, --allocation-depth       also in which layer data lies (qemu:allocation-depth, qemu:joint-allocation)
          -B, --bitmap=NAME            also a persistent dirty bitmap (qemu:dirty-bitmap:NAME); several times if wanted
              --align-contexts         extents of all contexts in a reply have the same lengths
              --export LIST            an export more: name=, file=, format=, description=, read-only=on, temporary=on,
                                       load-snapshot=, cache=, discard=, detect-zeroes=, offset=, size=, resize=on,
                                       allocation-depth=on, bitmap= (several times); other keys are options of its drivers

        How images are opened:
          -f, --format=FORMAT          the image's format (looked for if not given)
              --image-opts             FILE is a list of options, not a file name
          -n, --nocache                the same as --cache=none
              --cache=MODE             none, writeback, writethrough, directsync or unsafe (writeback)
              --aio=MODE               threads, native or io_uring: checked, and all the same here
              --discard=MODE           discards give space back: ignore or unmap (ignore)
              --detect-zeroes=MODE     zeroes that are written: off, on or unmap (off)
              --object TYPE,id=ID,...  define an object: secret, tls-creds-x509, tls-creds-psk, authz-...

        The process:
              --fork                   serve in the background; the command ends when clients can connect
              --pid-file=PATH          write the server's process id to a file
          -v, --verbose                tell requests that fail, too; with --fork: standard error stays open
          -T, --trace ...              taken and passed over

        Others:
          -L, --list                   list what the server at --socket, or --bind and --port, exports
              --tls-hostname=NAME      ... whose certificate must be for this name
          -c, --connect=DEVICE         connect the kernel's NBD device: not done here, use nbd-client
          -d, --disconnect DEVICE      disconnect it: not done here, use nbd-client

        SIGTERM, SIGINT and SIGHUP end the server: requests in flight are answered, and everything is written to the image.

        """;
}
