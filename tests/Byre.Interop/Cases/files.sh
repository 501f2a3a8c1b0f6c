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
