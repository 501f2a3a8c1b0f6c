#!/usr/bin/env bash
# make-disk.sh DIR KERNEL: makes DIR/disk.raw, a disk that a PC boots from (SYSLINUX in the first partition, Linux with its root
# file system in the second). Its init runs e2fsck on the root, writes a file, and switches the machine off; what it found
# is written to the serial line as "fsck STATUS" and "written MD5". KERNEL is a package of Debian's with a kernel.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin" LC_ALL=C.UTF-8
cd "$1"

dpkg-deb -x "$2" kernel
mv kernel/boot/vmlinuz-* vmlinuz
rm -r kernel

mkdir -p root/{bin,sbin,dev,proc,sys,lib64}
cp /bin/busybox root/bin/
for name in sh mount umount dd md5sum sync poweroff cut; do
    ln -s busybox "root/bin/$name"
done
e2fsck=$(readlink -f "$(command -v e2fsck)")
cp "$e2fsck" root/sbin/e2fsck
ldd "$e2fsck" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "root$(dirname "$library")"
    cp -L "$library" "root$library"
done
cat > root/sbin/init <<'INIT'
#!/bin/sh
export PATH=/bin:/sbin
mount -t proc none /proc
mount -t devtmpfs none /dev
e2fsck -f -p /dev/nvme0n1p2
echo "fsck $?" >/dev/ttyS0
mount -o remount,rw /
dd if=/dev/urandom of=/written bs=64k count=160 2>/dev/null
sync
echo "written $(md5sum /written | cut -d ' ' -f 1)" >/dev/ttyS0
mount -o remount,ro /
sync
poweroff -f
INIT
chmod 755 root/sbin/init

mke2fs -q -t ext4 -F -d root root.img 48M
truncate -s 24M boot.img
mkfs.vfat -h 2048 boot.img >/dev/null
cat > syslinux.cfg <<'CFG'
SERIAL 0 115200
DEFAULT linux
LABEL linux
  KERNEL vmlinuz
  APPEND root=/dev/nvme0n1p2 ro init=/sbin/init console=ttyS0 panic=-1
CFG
MTOOLS_SKIP_CHECK=1 mcopy -i boot.img vmlinuz syslinux.cfg ::/
syslinux --install boot.img

truncate -s 80M disk.raw
sfdisk -q disk.raw <<'PARTS'
label: dos
start=2048, size=49152, type=c, bootable
start=51200, size=98304, type=83
PARTS
dd if=/usr/lib/syslinux/mbr/mbr.bin of=disk.raw bs=440 count=1 conv=notrunc status=none
dd if=boot.img of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
dd if=root.img of=disk.raw bs=1M seek=25 conv=notrunc,sparse status=none
rm -r root root.img boot.img vmlinuz syslinux.cfg
