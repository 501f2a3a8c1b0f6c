# The files that each case of serve.txt finds in its folder, and what its lines use.
set -e
truncate -s 4M r.raw
qemu-io -f raw -c 'write -q -P 1 0 1M' -c 'write -q -P 2 3M 1M' r.raw
qemu-img create -q -f qcow2 base.q 4M
qemu-io -f qcow2 -c 'write -q -P 3 0 2M' base.q
qemu-img bitmap --add base.q below
qemu-io -f qcow2 -c 'write -q -P 4 64k 64k' base.q
qemu-img create -q -f qcow2 -b base.q -F qcow2 top.q
qemu-img bitmap --add top.q b
qemu-img bitmap --add --disable top.q off
qemu-io -f qcow2 -c 'write -q -P 5 1M 64k' top.q
qemu-img create -q -f qcow2 snap.q 4M
qemu-io -f qcow2 -c 'write -q -P 6 0 1M' snap.q
qemu-img snapshot -c first snap.q
qemu-io -f qcow2 -c 'write -q -P 7 0 1M' snap.q
echo words >text
mkdir tls psk other
bash "$(dirname "$0")/tls-keys.sh" tls $'organization = Byre\ncn = server.example\ndns_name = server.example' \
  $'country = GB\nlocality = "London"\norganization = "Byre, Ltd"\ncn = laptop'
printf 'qemu:00112233445566778899aabbccddeeff\nfred:ffeeddccbbaa99887766554433221100\n' >psk/keys.psk
printf 'qemu:ffffffffffffffffffffffffffffffff\n' >other/keys.psk
cat >lib <<'EOF'
S=$PWD/s; U="nbd+unix:///?socket=$S"
X="tls-creds-x509,id=t,dir=$PWD/tls,endpoint"; P="tls-creds-psk,id=t,dir=$PWD/psk,endpoint"
listens() { grep -q " 00010000 .* $1\$" /proc/net/unix; }
# serve ARGUMENTS: a server at the socket "s", ready when this returns. What it says goes to the file "said".
serve() { qemu-nbd -k "$S" "$@" 2>said & srv=$!; until listens "$S"; do kill -0 $srv 2>/dev/null || { cat said >&2; wait $srv; echo "refused $?"; return 1; }; sleep .02; done; }
# refused ARGUMENTS: a server that does not start (and, of QEMU's, may leave its socket).
refused() { timeout 20 qemu-nbd -k "$S" "$@" </dev/null; echo "refused $?"; rm -f s; }
# stop SIGNAL: ends the server; ended: waits for its end by itself.
stop() { kill -$1 $srv; ended; }
ended() { wait $srv; echo "ended $?"; [ -e s ] && echo "the socket is left"; return 0; }
# gone FILE: waits for the end of the process whose number is in the file.
gone() { while kill -0 "$(cat $1)" 2>/dev/null; do sleep .02; done; }
io() { qemu-io "$@" >/dev/null 2>&1; echo "io $?"; }
info() { qemu-img info -U "$1" | grep -A5 "$2"; }
opts() { echo "driver=nbd,server.type=unix,server.path=$S,tls-creds=t,tls-hostname=server.example"; }
EOF
