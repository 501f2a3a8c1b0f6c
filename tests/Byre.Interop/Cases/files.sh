# The files that each case finds in its folder.
set -e
qemu-img create -q -f qcow2 base.q 4M
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' base.q
qemu-img create -q -f qcow2 -b base.q -F qcow2 top.q
cp top.q t.q
head -c 1000 /dev/zero >odd.raw
head -c 1M /dev/zero | tr '\0' Z >a.img
printf abc >pat
qemu-img create -q -f qcow2 -b l2.q -F qcow2 -u l1.q 4M # a chain that is a loop
qemu-img create -q -f qcow2 -b l1.q -F qcow2 -u l2.q 4M
qemu-img create -q -f qcow2 -b gone.q -F qcow2 -u orphan.q 4M
qemu-img create -q -f qcow2 -o data_file=d.raw df.q 4M
qemu-img create -q -f qcow2 ok.q 4M
head -c 300000 base.q >cut.q
head -c 60 base.q >stub.q
: >empty
head -c 65536 /dev/zero | tr '\0' G >garbage
qemu-img create -q -f raw sparse.raw 4M
qemu-io -f raw -c 'write -q 1M 64k' sparse.raw
qemu-img create -q -f qcow2 snap.q 4M # two snapshots; the first says of itself what a running machine's would
qemu-io -f qcow2 -c 'write -q -P 1 0 1M' snap.q
qemu-img snapshot -c s snap.q
entry=$(od -An -tu8 --endian=big -j64 -N8 snap.q | tr -d ' ')
printf '\x11\x22\x33\x44\x00\x00\x00\x05\x00\x12\x34\x56\x78\x9a\xbc\xde' | dd of=snap.q bs=1 seek=$((entry + 16)) conv=notrunc status=none
printf '\x00\x00\x00\x01\x23\x45\x67\x89' | dd of=snap.q bs=1 seek=$((entry + 40)) conv=notrunc status=none
printf '\xff\xff\xff\xff\xff\xff\xff\xff' | dd of=snap.q bs=1 seek=$((entry + 56)) conv=notrunc status=none
qemu-io -f qcow2 -c 'write -q -P 2 512k 1M' snap.q
qemu-img snapshot -c two snap.q
qemu-io -f qcow2 -c 'write -q -P 3 0 64k' -c 'write -q -b -P 4 0 64k' snap.q
qemu-img create -q -f qcow2 bm.q 4M # bitmaps: one that records, with 64 KiB and 192 KiB in it, and one that does not
qemu-img bitmap --add bm.q on
qemu-img bitmap --add -g 4k bm.q off
qemu-io -f qcow2 -c 'write -q 1M 64k' -c 'write -q 3M 192k' bm.q
qemu-img bitmap --disable bm.q off
qemu-io -f qcow2 -c 'write -q 2M 4k' bm.q
qemu-img create -q -f qcow2 bm8.q 8M
qemu-img bitmap --add bm8.q on
cp bm.q used.q # the first bitmap was left in use: its flags are the last byte of 4
printf '\003' | dd of=used.q bs=1 conv=notrunc status=none seek=$((0x$(od -An -tx1 -j$(($(LC_ALL=C grep -obUaP '\x23\x85\x28\x75\x00\x00\x00\x18' bm.q | head -1 | cut -d: -f1) + 24)) -N8 bm.q | tr -d ' ') + 15))
cat >dump <<'END'
# dump IMAGE BITMAP: what is dirty, as QEMU's server tells it
qemu-nbd -r -f qcow2 -k "$PWD/s$$" -B "$2" --fork "$1" && nbdinfo --map="qemu:dirty-bitmap:$2" "nbd+unix:///?socket=$PWD/s$$"
END
cat >facts <<'END'
# facts IMAGE: what info tells of it, without lengths on the host and what QEMU does not know
qemu-img info "$1" | grep -v -e 'disk size' -e 'file length' -e 'all zero'; qemu-img check -q "$1"
END
