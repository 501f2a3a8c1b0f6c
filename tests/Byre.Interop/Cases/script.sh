#!/bin/bash
# A night's work on the disks of a small host, written for QEMU's tools. Run once with them and once with Byre under their
# names; the two outputs must be equal. What no two runs print alike (times, rates, space on the host) is taken out here.
set -u
export LC_ALL=C
failures=0

settle() {
    sed -E -e 's/ ops; .*/ ops/' -e 's/^disk size: .*/disk size: D/' -e 's/^(    )*disk size: .*/\1disk size: D/' \
        -e 's/"actual-size": [0-9]+/"actual-size": N/' -e 's/, "compressed": (true|false)//'
}

say() { echo "## $*"; }

# Runs a command that must succeed.
must() {
    local out status
    out=$("$@" 2>err.txt)
    status=$?
    printf '%s\n' "$out" | settle
    if [ $status -ne 0 ]; then
        failures=$((failures + 1))
        echo "FAILED ($status): $*"
    fi
    [ -s err.txt ] && echo "(something on standard error)"
    return $status
}

# Runs a command that must fail with a status, and say something on standard error.
fails() {
    local want=$1 out status
    shift
    out=$("$@" 2>err.txt)
    status=$?
    printf '%s\n' "$out" | settle
    [ $status -eq "$want" ] || { failures=$((failures + 1)); echo "STATUS $status, wanted $want: $*"; }
    [ -s err.txt ] || echo "(nothing on standard error)"
}

# A field of "info --output=json".
field() { qemu-img info --output=json "$1" | tr -d ' ",' | sed -n "s/^$2://p" | tail -n 1; }

say "a golden image with some content"
must qemu-img create -f qcow2 -o cluster_size=64k,lazy_refcounts=on golden.qcow2 64M
must qemu-io -f qcow2 -c 'write -P 0x11 0 4M' -c 'write -P 0x22 10M 3M' -c 'write -z 20M 1M' -c 'write -c -P 0x33 30M 64k' golden.qcow2
must qemu-io -f qcow2 -c 'read -P 0x11 0 4M' -c 'read -P 0 5M 64k' -c 'read -P 0x33 30M 64k' -c length golden.qcow2
must qemu-img check golden.qcow2
[ "$(field golden.qcow2 virtual-size)" = 67108864 ] && echo "virtual size right"
[ "$(field golden.qcow2 format)" = qcow2 ] && echo "format right"

say "three guests on it"
for guest in web mail db; do
    must qemu-img create -f qcow2 -b golden.qcow2 -F qcow2 $guest.qcow2
    qemu-io $guest.qcow2 >io.txt 2>err.txt <<COMMANDS
write -P 0x4$(printf %s $guest | wc -c) 1M 128k
write -P 0x55 40M 1M
aio_write -P 0x66 50M 64k
aio_write -P 0x67 51M 64k
aio_flush
discard 40M 512k
flush
COMMANDS
    echo "io status $?"
    sed 's/qemu-io> //g' io.txt | settle | sort
done
must qemu-img resize web.qcow2 +16M
must qemu-img resize mail.qcow2 80M
fails 1 qemu-img resize db.qcow2 32M
must qemu-img resize --shrink db.qcow2 48M
for guest in web mail db; do
    must qemu-img check -q $guest.qcow2
    fails 1 qemu-img map $guest.qcow2 # the table cannot show compressed clusters
    must qemu-img map --output=json $guest.qcow2
done

say "what a backup would take"
must qemu-img measure -O raw --output=json web.qcow2
must qemu-img measure --size 10G -O qcow2 -o cluster_size=2M
must qemu-img measure --output=json --size 10G -O qcow2

say "the backups, compared with what they are of"
must qemu-img convert -O raw web.qcow2 web.raw
must qemu-img convert -f qcow2 -O qcow2 -o cluster_size=128k mail.qcow2 mail-flat.qcow2
must qemu-img convert -c -O qcow2 db.qcow2 db-packed.qcow2
must qemu-img convert -O qcow2 -B golden.qcow2 -F qcow2 web.qcow2 web-delta.qcow2
must qemu-img compare -f qcow2 -F raw web.qcow2 web.raw
must qemu-img compare mail.qcow2 mail-flat.qcow2
must qemu-img compare db.qcow2 db-packed.qcow2
must qemu-img compare web.qcow2 web-delta.qcow2
must qemu-img check db-packed.qcow2
stat -c '%n %s' web.raw
cmp <(qemu-io -f raw -c 'read -v 1M 64' web.raw | head -n 4) <(qemu-io -c 'read -v 1M 64' web.qcow2 | head -n 4) && echo "the same bytes"

say "differences are found and told by status"
must qemu-io -f raw -c 'write -P 0x99 60M 512' web.raw
qemu-img compare -f qcow2 -F raw web.qcow2 web.raw
echo "status $?"
qemu-img compare -q -f qcow2 -F raw web.qcow2 web.raw
echo "status $?"
qemu-img compare -s golden.qcow2 mail.qcow2
echo "status $?"
fails 2 qemu-img compare golden.qcow2 missing.qcow2

say "the chain, as scripts read it"
must qemu-img info --output=json --backing-chain mail.qcow2 | grep -E '^ {8}"(virtual-size|filename|format|backing-filename|full-backing-filename|cluster-size)"' 
must qemu-img info golden.qcow2 | grep -vE '^Child|^    (filename|protocol|file length|disk size)'

say "a damaged image"
cp golden.qcow2 hurt.qcow2
printf '\0\0\0\0\0\0\0\0' | dd of=hurt.qcow2 bs=1 seek=$((0x40000)) conv=notrunc status=none # the first L2 entry
qemu-img check hurt.qcow2 2>/dev/null
echo "status $?"
qemu-img check -r leaks hurt.qcow2 2>/dev/null
echo "status $?"
must qemu-img check hurt.qcow2

say "what must be refused"
fails 1 qemu-img create -f qcow2 -b golden.qcow2 new.qcow2
fails 1 qemu-img create -f qcow2 new.qcow2
fails 1 qemu-img convert -O raw missing.qcow2 new.raw
fails 1 qemu-img convert -O nonsense golden.qcow2 new.raw
fails 1 qemu-img info missing.qcow2
fails 1 qemu-io -r -c 'write 0 512' golden.qcow2
fails 1 qemu-io -c 'read 70M 512' golden.qcow2
fails 1 qemu-io -c 'read -P 0x12 0 512' golden.qcow2
fails 63 qemu-img check -f raw web.raw
[ -e new.raw ] && echo "a target was left"

say "$failures failures"
ls -1 | grep -v -e err.txt -e io.txt
exit $failures
