# The files that each case of verbs.txt finds in its folder.
set -e
qemu-img create -q -f qcow2 base.q 8M
qemu-io -f qcow2 -c 'write -q -P 1 0 4M' base.q
qemu-img create -q -f qcow2 -b base.q -F qcow2 mid.q
qemu-io -f qcow2 -c 'write -q -P 2 1M 1M' mid.q
qemu-img create -q -f qcow2 -b mid.q -F qcow2 top.q 10M
qemu-io -f qcow2 -c 'write -q -P 3 2M 1M' -c 'write -q -z 0 64k' top.q
qemu-img create -q -f raw r.raw 3M
qemu-io -f raw -c 'write -q -P 7 0 3M' r.raw
qemu-img create -q -f qcow2 -b r.raw -F raw or.q 5M
qemu-io -f qcow2 -c 'write -q -P 3 2M 1M' -c 'write -q -z 0 96k' -c 'write -q -P 9 4M 32k' or.q
cp or.q snap.q
qemu-img snapshot -c a snap.q
qemu-io -f qcow2 -c 'write -q -P 4 2M 1M' snap.q
qemu-img create -q -f qcow2 -o compat=v2,cluster_size=4k -b r.raw -F raw v2.q
qemu-io -f qcow2 -c 'write -q -P 3 1M 1M' v2.q
qemu-img create -q -f qcow2 -o extended_l2=on -b r.raw -F raw x.q
qemu-io -f qcow2 -c 'write -q -P 3 1M 4k' -c 'write -q -z 1100k 6k' -c 'write -q -P 5 1300k 2k' x.q
qemu-img create -q -f qcow2 -o lazy_refcounts=on,refcount_bits=1 -b r.raw -F raw lazy.q
qemu-io -f qcow2 -c 'write -q -P 3 1M 4k' lazy.q
qemu-img create -q -f qcow2 -o data_file=d.raw -b r.raw -F raw df.q
qemu-io -f qcow2 -c 'write -q -P 3 1M 4k' df.q
qemu-img create -q -f raw c.raw 4M
qemu-io -f raw -c 'write -q -P 3 1M 1M' c.raw
qemu-img convert -c -O qcow2 -B r.raw -F raw c.raw c.q
qemu-img create -q -f qcow2 -u -b gone.q -F qcow2 orphan.q 4M
qemu-img create -q -f qcow2 -u -b l2.q -F qcow2 l1.q 4M # a chain that is a loop
qemu-img create -q -f qcow2 -u -b l1.q -F qcow2 l2.q 4M
cp base.q other.q
qemu-io -f qcow2 -c 'write -q -P 5 3M 1M' -c 'write -q -z 1536k 1M' other.q
qemu-img create -q -f qcow2 short.q 1M
qemu-io -f qcow2 -c 'write -q -P 6 0 640k' short.q
qemu-img create -q -f qcow2 long.q 12M
qemu-io -f qcow2 -c 'write -q -P 8 5M 6M' long.q
for v in v2 v3; do
  qemu-img create -q -f qcow2 -o compat=$v s$v.q 4M
  qemu-io -f qcow2 -c 'write -q -P 3 0 2M' s$v.q
  qemu-img snapshot -c first s$v.q
  qemu-io -f qcow2 -c 'write -q -P 4 1M 2M' s$v.q
  qemu-img snapshot -c second s$v.q
done
head -c 1000 base.q >odd
: >empty
head -c 300000 base.q >cut.q
