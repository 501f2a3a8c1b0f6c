# What the cases of copy.txt and copy-nbd.txt find in their folder. Content is the same every time.
set -e
bytes() { openssl enc -aes-128-ctr -K 000102030405060708090a0b0c0d0e0$1 -iv 00000000000000000000000000000000 -nosalt </dev/zero 2>/dev/null | head -c "$2"; }
bytes 1 3145728 >data           # no zeroes
truncate -s 4M holes            # data, a hole, data of zeroes, data, a hole
bytes 2 655360 | dd of=holes bs=64k conv=notrunc status=none
dd if=/dev/zero of=holes bs=64k seek=24 count=8 conv=notrunc status=none
bytes 3 65536 | dd of=holes bs=64k seek=40 conv=notrunc status=none
{ bytes 4 100001; head -c 30000 /dev/zero; printf z; } >odd
{ bytes 5 70001; head -c 30000 /dev/zero; } >tail
head -c 1048576 /dev/zero >zeroes
truncate -s 2M hole
: >empty
truncate -s 1M short
bytes 6 6291456 >long
mkfifo fifo
