#!/usr/bin/env bash
# images.sh: makes the images that the tests of NBD serve, in the current folder, with QEMU's tools. Disks are of 4 MiB and
# clusters of 64 KiB where nothing else is said.
set -euo pipefail
q() {
    local output
    output=$(qemu-io "$@" 2>&1) || { echo "qemu-io $*: $output" >&2; return 1; }
}

truncate -s 4M raw.img # data, holes, and zeroes that are written
q -f raw -c 'write -P 1 0 100k' -c 'write -P 2 1M 256k' -c 'write -P 0 2M 256k' -c 'write -P 3 3000k 10k' raw.img
truncate -s 3145828 tail.img # ends in the middle of a sector
q -f raw -c 'write -P 4 3M 50' -c 'write -P 5 64k 4k' tail.img
truncate -s 0 nothing.img

c() { qemu-img create -q -f qcow2 "$@"; }
c plain.q 4M
q -c 'write -P 1 0 1M' -c 'write -z 512k 128k' -c 'write -z -u 768k 64k' -c 'write -P 2 3M 192k' -c 'discard 3100k 64k' plain.q
c base.q 4M
q -c 'write -P 10 0 1M' -c 'write -P 11 2M 512k' -c 'write -z 2560k 64k' base.q
c -b base.q -F qcow2 top.q
q -c 'write -P 12 64k 64k' -c 'write -z 192k 64k' -c 'write -P 13 2100k 10k' -c 'write -P 14 3500k 100k' top.q
c -b raw.img -F raw over-raw.q
q -c 'write -P 15 200k 64k' -c 'write -z 1M 64k' over-raw.q
c -o extended_l2=on,cluster_size=128k -b base.q -F qcow2 extended.q
q -c 'write -P 16 4k 4k' -c 'write -P 17 260k 12k' -c 'write -z 2052k 8k' -c 'write -P 18 2500k 300k' extended.q
qemu-img convert -f qcow2 -O qcow2 -c -o compression_type=zstd base.q zstd.q
qemu-img convert -f qcow2 -O qcow2 -c base.q deflate.q
for attempt in 1 2 3 4 5 6 7 8 9 10; do # the derivation of a key cannot be timed at every try
    c --object secret,id=s,data=open -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 luks.q 2M 2>luks.log && break
    grep -q 'accurate CPU usage' luks.log && [ $attempt -lt 10 ] || { cat luks.log >&2; exit 1; }
done
rm luks.log
q --object secret,id=s,data=open --image-opts -c 'write -P 20 64k 200k' -c 'write -z 1M 64k' \
    driver=qcow2,encrypt.key-secret=s,file.filename=luks.q
c snapshots.q 4M
q -c 'write -P 21 0 256k' snapshots.q
qemu-img snapshot -c first snapshots.q
q -c 'write -P 22 128k 256k' -c 'write -z 0 64k' snapshots.q
c -o data_file=external.raw,data_file_raw=on external.q 4M
q -c 'write -P 23 1M 128k' -c 'write -z 3M 128k' external.q
c empty.q 0
c -o cluster_size=2M huge.q 16T
q -c 'write -P 24 5T 64k' -c 'write -z 9T 1G' -c 'write -P 25 17179869120k 64k' huge.q

# The chain of the thread on joint allocation: base ABC-, top -D0-; its bitmap b knows the writes of D only.
c chain-base.q 256k
q -c 'write -P 65 0 64k' -c 'write -P 66 64k 64k' -c 'write -P 67 128k 64k' chain-base.q
c -b chain-base.q -F qcow2 chain.q
q -c 'write -z 128k 64k' chain.q
qemu-img bitmap --add -g 64k chain.q b
q -c 'write -P 68 64k 64k' chain.q
# A bitmap of fine granularity, and another in the backing file.
c -b base.q -F qcow2 bitmaps.q
qemu-img bitmap --add -g 4k bitmaps.q fine
qemu-img bitmap --add bitmaps.q coarse
q -c 'write -P 30 100k 3k' -c 'write -z 1M 256k' -c 'write -P 31 3M 1M' bitmaps.q
c -b bitmaps.q -F qcow2 over-bitmaps.q
q -c 'write -P 32 2M 64k' over-bitmaps.q
