namespace Byre.Interop.Nbd.Tools;

/// <summary>byre nbdinfo prints what libnbd's nbdinfo prints, and ends as it does.</summary>
public class NbdInfoToolTests
{
    [Theory]
    [InlineData("memory 0")]
    [InlineData("memory 1536")]
    [InlineData("-r memory 10M")]
    [InlineData("memory 5T")]
    [InlineData("pattern 1G")]
    [InlineData("info address")]
    [InlineData("--no-sr memory 1M")]
    [InlineData("--oldstyle memory 1M")]
    [InlineData("--mask-handshake=0 memory 1M")]
    [InlineData("--filter=blocksize-policy memory 1M blocksize-minimum=512 blocksize-preferred=64k blocksize-maximum=1M")]
    [InlineData("--filter=exportname memory 1M exportname=a exportname=b default-export=b exportdesc=fixed:hello")]
    [InlineData("--filter=noextents memory 1M")]
    [InlineData("--filter=nozero --filter=fua memory 1M")]
    [InlineData("data '1 @0x80000 2 @0x200000 3'")]
    public async Task Servers_of_nbdkit(string words)
    {
        var output = await ToolComparison.SameAsync($"""
            for o in "" --json "-L --color" "--size" "--map" "--map --totals --json" "--can fua" "--is read-only"; do
                same nbdinfo $o -- [ nbdkit {words} ]
            done
            """);
        Assert.Contains("export-size", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Maps_and_totals_of_chains_and_bitmaps()
    {
        var output = await ToolComparison.SameAsync("""
            qemu-img create -q base.raw 256k; qemu-img create -q -f qcow2 -b base.raw -F raw top.q
            qemu-io -f raw -c "w -q -P 65 0 192k" base.raw; qemu-io -c "w -q -P 69 64k 64k" -c "w -q -z 128k 64k" top.q
            qemu-img create -q -f qcow2 -o preallocation=metadata pre.q 1M; qemu-io -c "w -q -P 1 0 48k" -c "w -q -z 0 64k" pre.q
            qemu-img bitmap --add -g 64k top.q b; qemu-io -c "w -q -P 1 200k 1k" top.q
            qemu-img create -q -f qcow2 -b top.q -F qcow2 -o cluster_size=512 third.q 300k; qemu-io -c "w -q 1k 512" -c "w -q 100k 100" third.q
            for i in "-A -B b top.q" "-A pre.q" "-A third.q" "-A -B b json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"driver\":\"file\",\"filename\":\"top.q\"}}"; do
                for c in "" =qemu:allocation-depth =qemu:dirty-bitmap:b; do
                    for o in --json --color "--totals --json" "--totals --color"; do same nbdinfo --map$c $o -- [ $qemu_nbd -r $i ]; done
                done
                same nbdinfo --color -- [ $qemu_nbd -r $i ]
            done
            """);
        Assert.Contains("backing depth 3", output, StringComparison.Ordinal);
        Assert.Contains("dirty", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Servers_that_run_with_odd_names_of_exports()
    {
        var output = await ToolComparison.SameAsync("""
            mkdir dir; for f in a 'b c' 'q"x\y' 'ü%#?&z' $'tab\tnl'; do head -c 100000 /dev/zero >"dir/$f"; done
            serve m nbdkit -U m -f file dir=dir
            serve e nbdkit -U e -f -r --filter=exportname memory 1M exportname=a exportname='x y!~*();@&=+$,/?[]`{^|"<>' exportname-strict=true \
                exportname-list=explicit exportdesc='fixed:with "quotes" \ and ü'
            truncate -s 1M disk; serve q $qemu_nbd -k $PWD/q -r -t -A -x 'my exp' -D 'some desc' -f raw disk
            for o in --color --json; do
                for u in 'a?socket=e' 'x%20y!~*();@&=+$,/%3F%5B%5D%60%7B%5E%7C%22%3C%3E?socket=e' 'b%20c?socket=m' 'q%22x%5Cy?socket=m' \
                    'tab%09nl?socket=m' '%C3%BC%25%23%3F&z?socket=m' 'my%20exp?socket=q'; do
                    same nbdinfo $o "nbd+unix:///$u"
                done
            done
            for s in m e q; do same nbdinfo -L "nbd+unix:///any?socket=$s"; same nbdinfo -L --json --content "nbd+unix:///any?socket=$s"; done
            same nbdinfo "nbd+unix:///missing?socket=q"; same nbdinfo -L --color "nbd+unix:///missing?socket=q"; same nbdinfo --size "nbd+unix:///missing?socket=e"
            for q in connect read write tls rotational read-only readonly structured-reply "structured reply" sr cache df fast-zero fast_zero FLUSH \
                fua multi-conn multiconn trim zero nothing; do same nbdinfo --can "$q" "nbd+unix:///my%20exp?socket=q"; done
            """);
        Assert.Contains("my exp", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Servers_with_TLS()
    {
        var output = await ToolComparison.SameAsync("""
            psktool -u me -p keys.psk >/dev/null 2>&1; serve s nbdkit -U s -f --tls=require --tls-psk=keys.psk memory 1M
            for o in "" --json -L --map --size "--is tls"; do same nbdinfo $o "nbds+unix://me@/?socket=s&tls-psk-file=$PWD/keys.psk"; done
            same nbdinfo --size "nbds+unix://you@/?socket=s&tls-psk-file=$PWD/keys.psk"; same nbdinfo --size "nbd+unix:///?socket=s"
            serve p nbdkit -U p -f memory 1M; same nbdinfo --size "nbds+unix://me@/?socket=p&tls-psk-file=$PWD/keys.psk"
            """);
        Assert.Contains("with TLS", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Wrong_words_and_servers_that_are_not_there()
    {
        const string Script = """
            for o in "" "--json -L" --map; do
                for u in foo http://x nbd://localhost:1 nbd://127.0.0.1:99999 nbd+unix:/// nbd+unix:///?socket=/nonexist '' nbd://nonexist.invalid; do
                    same nbdinfo $o "$u"
                done
            done
            same nbdinfo; same nbdinfo a b; same nbdinfo --foo x; same nbdinfo [; same nbdinfo [ ]; same nbdinfo [ nbdkit; same nbdinfo [ /nonexist ]
            same nbdinfo [ true ]; same nbdinfo --map= -- [ nbdkit null 1M ]; same nbdinfo --map=nope -- [ nbdkit null 1M ]
            same nbdinfo --map --size nbd://localhost:1; same nbdinfo --can foo -- [ nbdkit null 1M ]; same nbdinfo --totals nbd://localhost:1
            same nbdinfo -L --map nbd://localhost:1; same nbdinfo --can; same nbdinfo --map -- [ nbdkit --no-sr null 1M ]
            """;
        await ToolComparison.SameAsync(Script);
        Assert.DoesNotContain("not one line", await ToolComparison.OursAsync(Script), StringComparison.Ordinal);
    }

    /// <summary>What nbdinfo prints of the chain in the thread on joint allocation, and Byre's own context.</summary>
    [Fact]
    public async Task The_joined_contexts_are_told_in_words()
    {
        var server = await NbdServers.OursAsync();
        var output = await ToolComparison.OursAsync($$"""
            qemu-img create -q base.raw 256k; qemu-img create -q -f qcow2 -b base.raw -F raw top.q
            qemu-io -f raw -c "w -q -P 65 0 192k" base.raw; qemu-img bitmap --add -g 64k top.q b
            qemu-io -c "w -q -P 69 64k 64k" -c "w -q -z 128k 64k" top.q
            top='driver=qcow2,backing=,file.filename=top.q'
            same nbdinfo --map=qemu:joint-allocation -- [ {{server}} -r -A --image-opts $top ]
            same nbdinfo --map=qemu:joint-allocation --json -- [ {{server}} -r -A top.q ]
            same nbdinfo --map=byre:joint -- [ {{server}} -r -A -B b top.q ]
            same nbdinfo --map=byre:joint --totals -- [ {{server}} -r -B b top.q ]
            qemu-img create -q -f qcow2 zero.q 1M; same nbdinfo --no-content -- [ {{server}} -r zero.q ]
            """);
        output = System.Text.RegularExpressions.Regex.Replace(output, @"^= .* = (\d)$", "= $1", System.Text.RegularExpressions.RegexOptions.Multiline);
        Assert.StartsWith(
            """
            = 0
                     0       65536    3  hole,zero,unallocated
                 65536       65536    4  allocated,local
                131072       65536    7  hole,zero,local
                196608       65536    3  hole,zero,unallocated
            = 0
            [
            { "offset": 0, "length": 65536, "type": 8, "description": "allocated,backing"},
            { "offset": 65536, "length": 65536, "type": 4, "description": "allocated,local"},
            { "offset": 131072, "length": 65536, "type": 7, "description": "hole,zero,local"},
            { "offset": 196608, "length": 65536, "type": 11, "description": "hole,zero,backing"}
            ]
            = 0
                     0       65536    8  allocated,backing
                 65536       65536   20  allocated,local,dirty:b
                131072       65536   23  hole,zero,local,dirty:b
                196608       65536   11  hole,zero,backing
            = 0
                 65536  25.0%   8 allocated,backing
                 65536  25.0%  11 hole,zero,backing
                 65536  25.0%  20 allocated,local,dirty:b
                 65536  25.0%  23 hole,zero,local,dirty:b
            = 0

            """,
            output,
            StringComparison.Ordinal);
        Assert.EndsWith("\tinit_sparse: true\n\tinit_zero: true\n", output, StringComparison.Ordinal);
    }
}
