# The files that each case of nbdinfo.txt finds in its folder, and what its lines use.
set -e
mkdir bin dir empty floppy tls psk
truncate -s 4M holes
qemu-io -f raw -c 'write -q -P 1 64k 192k' -c 'write -q -P 2 3M 1M' holes
printf 'hello, world!%4000s\0\1\2\377end' ' ' >odd
head -c 100000 /dev/zero | tr '\0' z >same
cp odd 'dir/a b%é'; cp holes dir; printf 'GIF89a' >dir/gif; : >dir/nothing
cp odd floppy
qemu-img create -q -f qcow2 base.q 4M
qemu-io -f qcow2 -c 'write -q -P 3 0 2M' base.q
qemu-img create -q -f qcow2 -b base.q -F qcow2 top.q
for b in one two; do qemu-img bitmap --add top.q $b; done
qemu-io -f qcow2 -c 'write -q -P 5 1M 64k' -c 'write -q -z 3M 64k' -c 'write -q -z -u 128k 64k' top.q
printf 'qemu:00112233445566778899aabbccddeeff\nfred:ffeeddccbbaa99887766554433221100\n' >psk/keys.psk
bash "$(dirname "$0")/tls-keys.sh" tls $'cn = localhost\ndns_name = localhost' 'cn = client'
# tell COMMAND...: runs it; then its status, and whether it said anything on standard error.
cat >bin/tell <<'END'
#!/bin/bash
"$@" 2>err.$$; s=$?; echo "= $s $([ -s err.$$ ] && echo 'with an error ')$*"; cat err.$$ >>told; rm -f err.$$; exit $s
END
# What is asked of a server: reports, the map, the dump; questions; QEMU's tools.
cat >bin/info <<'END'
#!/bin/bash
U=${1:-$U}
tell nbdinfo --color "$U"; tell nbdinfo --json "$U"; tell nbdinfo -L "$U"; tell nbdinfo --size "$U"
tell nbdinfo --map "$U"; tell nbdinfo --map --totals --color "$U"; tell nbdinfo --map=base:allocation --json "$U"
exit 0
END
cat >bin/json <<'END'
#!/bin/bash
U=${1:-$U}
for o in '' --list --map '--map --totals'; do nbdinfo --json $o "$U" | strict; done
exit 0
END
# A strict parser of JSON, which keeps the order of the keys.
cat >bin/strict <<'END'
#!/usr/bin/python3
import json, sys
report = json.load(sys.stdin)
print(json.dumps(report), report["exports"][0]["export-size"] if isinstance(report, dict) and report["exports"] else "")
END
cat >bin/dump <<'END'
#!/bin/bash
U=${1:-$U}
tell nbddump "$U"; tell nbddump -n 100 "$U"; tell nbddump --length=70 --color "$U"
exit 0
END
cat >bin/asks <<'END'
#!/bin/bash
U=${1:-$U}
for w in read-only readonly rotational tls write; do nbdinfo --is $w "$U" 2>/dev/null; echo "is $w $?"; done
for w in connect read write cache df fast-zero flush fua multi-conn trim zero structured-reply; do nbdinfo --can $w "$U" 2>/dev/null; echo "can $w $?"; done
exit 0
END
cat >bin/img <<'END'
#!/bin/bash
U=${1:-$U}
tell qemu-img info "$U"; tell qemu-img info --output json "$U"; tell qemu-img info -f raw "nbd:unix:$S"
tell qemu-img map -f raw "$U"; tell qemu-img map -f raw --output json "$U"; tell qemu-img map --output json --image-opts "driver=nbd,server.type=unix,server.path=$S"
tell qemu-img check -f raw "$U"; tell qemu-img measure -f raw -O qcow2 "$U"; tell qemu-img measure -f raw -O raw "$U"; tell qemu-img compare -f raw -F raw "$U" "$U"
tell qemu-img convert -f raw -O raw "$U" out.raw && sha256sum <out.raw; tell qemu-img dd -f raw -O raw "if=$U" of=dd.raw bs=512 count=7 skip=1 && sha256sum <dd.raw
tell qemu-io -r -f raw -c length -c 'read -v 0 32' -c 'read 1 7' -c 'read 0 1G' -c 'map' -c 'alloc 0' -c info "$U" | sed 's/ ops; .*/ ops/'
exit 0
END
chmod +x bin/*
cat >lib <<'EOF2'
export S=$PWD/s; export U="nbd+unix:///?socket=$S" PATH=$PWD/bin:$PATH
# kit ARGUMENTS --run SCRIPT: nbdkit at the socket $S while the script runs. with COMMAND -- SCRIPT: the same
# with a server of qemu-nbd's kind. What the servers say is not compared.
kit() { rm -f s; nbdkit -U "$S" "$@" 2>/dev/null; }
listens() { grep -q " 00010000 .* $S\$" /proc/net/unix; }
with() { rm -f s; local a=(); while [ "$1" != -- ]; do a+=("$1"); shift; done; "${a[@]}" -t -e 9 -k "$S" 2>/dev/null & local p=$!; until listens || ! kill -0 $p; do sleep .02; done; bash -c "$2"; kill $p; wait $p; }
EOF2
