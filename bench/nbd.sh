# The NBD rows of bench/compare, which reads this file. Servers listen on Unix sockets in the folder of the run, are started
# and ended by their process ids, and end by themselves after two minutes. Of each row the runs alternate: every server serves
# for the same seconds, one after the other, and the ratio is the median over the rounds.
#   The figure of fio's rows is what fio measures: requests a second for 4 KiB, MiB a second for 1 MiB. More is better there.
#   nbd-map is nbdinfo as a whole, most of which is nbdinfo's own work; nbd-map-answer is the server's answer alone, in ms.
#   BYRE_QEMU_NBD   the qemu-nbd to run against (default: the one beside qemu-img, else on the PATH)
nbd_peer=${BYRE_QEMU_NBD:-$(dirname "$peer")/qemu-nbd}
[ -x "$nbd_peer" ] || nbd_peer=$(command -v qemu-nbd)
nbd_seconds=2
[ "$scale" -eq 1 ] || nbd_seconds=1
served= # the process id of the server that runs

nbd_skip() { # row...: notes the rows that cannot run; 1 where all tools are there
    local need missing=
    for need in fio nbdkit nbdcopy nbdinfo; do
        command -v $need >/dev/null || missing+=" $need"
    done
    [ -x "$nbd_peer" ] || missing+=" qemu-nbd"
    [ -n "$missing" ] || return 1
    table+=("| nbd rows | skipped: not installed:$missing | | | | |")
}

serve() { # server format file: starts it on ./sock, sets served
    local i
    rm -f sock
    case $1 in
        qemu-nbd) timeout -k 2 120 "$nbd_peer" -k "$PWD/sock" -f "$2" -t -e 1100 "$3" >serve.txt 2>&1 & ;;
        nbdkit) timeout -k 2 120 nbdkit -f -U "$PWD/sock" file "$3" >serve.txt 2>&1 & ;;
        nbdkit-memory) timeout -k 2 120 nbdkit -f -U "$PWD/sock" memory "$3" >serve.txt 2>&1 & ;;
        byre) timeout -k 2 120 "$ours" serve -k "$PWD/sock" -f "$2" -t -e 1100 "$3" >serve.txt 2>&1 & ;;
    esac
    served=$!
    for ((i = 0; i < 100; i++)); do
        if [ -S sock ] && timeout 5 nbdinfo --size "$uri" >/dev/null 2>&1; then return 0; fi
        kill -0 "$served" 2>/dev/null || break
        sleep 0.1
    done
    end_server
    return 1
}
end_server() {
    [ -n "$served" ] || return 0
    kill "$served" 2>/dev/null
    wait "$served" 2>/dev/null
    served=
    rm -f sock
}

fio_figure() { # rw block depth jobs: prints requests or MiB a second
    local out
    out=$(timeout 60 fio --name=x --ioengine=nbd --uri="$uri" --rw="$1" --bs="$2" --iodepth="$3" --numjobs="$4" --group_reporting \
        --randrepeat=0 --time_based --runtime=$nbd_seconds --output-format=terse --terse-version=3 2>/dev/null | grep '^3;fio') || return 1
    awk -F';' -v rw="$1" -v bs="$2" '{ k = rw ~ /read/ ? $7 : $48; n = rw ~ /read/ ? $8 : $49; v = bs == "1M" ? k / 1024 : n; if (v <= 0) exit 1; printf "%.0f\n", v }' <<<"$out"
}

# name goal format file peers figure...: one table row a peer; the figure is a command that prints a number while a server runs.
# With "less" behind the goal, less is better (seconds, MiB); a goal that begins with "<" is one for our figure alone.
nbd_row() {
    local name=$1 goal=$2 better=${2#* } format=$3 file=$4 peers=$5 round value server ratio p o verdict
    shift 5
    goal=${goal%% *}
    local -A figures=() ratios=()
    local rounds=$runs
    for ((round = 0; round <= rounds; round++)); do # round 0 is not counted
        for server in $([ $((round % 2)) -eq 0 ] && echo "$peers byre" || echo "byre $peers"); do
            sync -f . # nobody's writes are another's load
            say "$name: round $round, $server"
            if ! serve "$server" "$format" "$file" || ! value=$("$@"); then
                end_server
                say ''
                table+=("| $name | failed: $server: $(head -n 1 serve.txt) | | | $goal | |")
                missed=1
                return
            fi
            end_server
            [ $round -eq 0 ] || figures[$server]+=" $value"
        done
    done
    for server in $peers; do
        ratio=$(paste <(printf '%s\n' ${figures[$server]}) <(printf '%s\n' ${figures[byre]}) |
            awk -v less="$better" '{ print less == "less" ? $1 / $2 : $2 / $1 }' | sort -n |
            awk '{ a[NR] = $1 } END { m = int((NR + 1) / 2); printf "%.2f", NR % 2 ? a[m] : (a[m] + a[m + 1]) / 2 }')
        p=$(median ${figures[$server]}) o=$(median ${figures[byre]})
        verdict=$(awk -v r="$ratio" -v o="$o" -v g="$goal" 'BEGIN { met = sub("<", "", g) ? o < g + 0 : r >= g + 0; print met ? "met" : "missed" }')
        [ "$verdict" = met ] || missed=1
        table+=("| $name ($server) | $p | $o | $ratio | $goal ($verdict) | - |")
    done
    say ''
}

seconds_of() { # command...: prints its seconds
    local from=$EPOCHREALTIME
    timeout 100 "$@" >client.txt 2>&1 </dev/null || return 1
    awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.4f\n", b - a }'
}
map_times() { # five times, once the server has answered one
    nbdinfo --map "$uri" >/dev/null 2>&1 || return 1
    seconds_of bash -c 'for i in 1 2 3 4 5; do nbdinfo --map "$0" || exit 1; done' "$uri"
}

answer_figure() { # prints the milliseconds from a question about the whole disk to the last byte of the answer, the median of 21
    "${BYRE_PYTHON:-python3}" - "$PWD/sock" <<'PY'
import socket, struct, sys, time
def exactly(s, n):
    data = bytearray(n)
    view, at = memoryview(data), 0
    while at < n:
        got = s.recv_into(view[at:])
        if not got:
            raise SystemExit('the server closed a connection')
        at += got
    return bytes(data)
def option(s, number, data):
    s.sendall(b'IHAVEOPT' + struct.pack('>II', number, len(data)) + data)
    while True:
        _, _, kind, length = struct.unpack('>QIII', exactly(s, 20))
        body = exactly(s, length)
        if kind & 1 << 31:
            raise SystemExit('the server refuses option %d' % number)
        if kind == 3 and number == 7 and body[:2] == b'\0\0':
            option.size = struct.unpack('>Q', body[2:10])[0]
        if kind == 1:
            return
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
exactly(s, 18)
s.sendall(struct.pack('>I', 3))
option(s, 8, b'')
option(s, 10, struct.pack('>III', 0, 1, 15) + b'base:allocation')
option(s, 7, struct.pack('>IH', 0, 0))
times = []
for _ in range(21):
    start = time.perf_counter()
    s.sendall(struct.pack('>IHHQQI', 0x25609513, 0, 7, 1, 0, option.size))
    kind, length = struct.unpack('>HQI', exactly(s, 20)[6:])[0::2]
    exactly(s, length)
    if kind != 5:
        raise SystemExit('the server does not answer')
    times.append(time.perf_counter() - start)
print('%.3f' % (sorted(times)[10] * 1000))
PY
}

# Copies: the server is the same, and the clients alternate.
client_row() { # name goal server format file target -- words of the copy; {} is the server
    local name=$1 goal=$2 server=$3 format=$4 file=$5 target=$6 p_times=() o_times=() ratios=() run side p o ratio verdict words=()
    shift 7
    for word in "$@"; do words+=("${word//\{\}/$uri}"); done
    for ((run = 0; run <= runs; run++)); do
        for side in $(sides $run); do
            say "$name: run $run, $side"
            [ -z "$target" ] || rm -f "$target"
            sync -f .
            if ! serve "$server" "$format" "$file"; then
                table+=("| $name | failed: $server: $(head -n 1 serve.txt) | | | $goal | |")
                missed=1
                return
            fi
            if [ $side = peer ]; then timed timeout 100 nbdcopy "${words[@]}"; else timed timeout 100 "$ours" copy "${words[@]}"; fi
            if [ $? -ne 0 ]; then
                end_server
                table+=("| $name | failed: ${side/ours/byre}: $(head -n 1 out.txt) | | | $goal | |")
                missed=1
                return
            fi
            end_server
            [ $run -eq 0 ] && continue
            if [ $side = peer ]; then p_times+=("$seconds"); else o_times+=("$seconds"); fi
        done
        [ $run -eq 0 ] || ratios+=("$(awk -v p="${p_times[-1]}" -v o="${o_times[-1]}" 'BEGIN { print p / o }')")
    done
    p=$(median "${p_times[@]}") o=$(median "${o_times[@]}") ratio=$(printf '%.2f' "$(median "${ratios[@]}")")
    if [[ $goal == '<'* ]]; then
        verdict=$(awk -v o="$o" -v g="${goal#<}" 'BEGIN { print (o < g) ? "met" : "missed" }')
    else
        verdict=$(awk -v r="$ratio" -v g="$goal" 'BEGIN { print (r >= g) ? "met" : "missed" }')
    fi
    for side in "$target" "$([ "$file" != before.raw ] || echo before.raw)"; do
        if [ -n "$side" ] && [ "$verify" = 1 ] && ! cmp -s copy.raw "$side"; then verdict="WRONG CONTENT"; fi
    done
    [ "$verdict" = met ] || missed=1
    table+=("| $name (nbdcopy) | $p | $o | $ratio | $goal ($verdict) | - |")
    say ''
}

idle_figure() { # connections: prints the MiB that so many idle clients cost the server, all of it
    local process=$served child
    child=$(pgrep -P "$served" | head -n 1)
    "${BYRE_PYTHON:-python3}" - "$PWD/sock" "$1" "${child:-$process}" <<'PY'
import socket, struct, sys, time
path, count, process = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def exactly(s, n):
    data = b''
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise SystemExit('the server closed a connection')
        data += more
    return data
clients = []
for _ in range(count):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path)
    exactly(s, 18)
    s.sendall(struct.pack('>I', 3) + b'IHAVEOPT' + struct.pack('>II', 1, 0))
    exactly(s, 10)
    s.sendall(struct.pack('>IHHQQI', 0x25609513, 0, 0, 1, 0, 4096))
    exactly(s, 16 + 4096)
    clients.append(s)
time.sleep(3)
pages = [l for l in open('/proc/' + process + '/smaps_rollup') if l.startswith('Pss:')]
print(max(1, int(pages[0].split()[1]) // 1024))
PY
}

nbd_rows() {
    local uri="nbd+unix:///?socket=$PWD/sock" verify=1
    set -- nbd-raw-read-4k-32:1.15:randread:4k:32 nbd-raw-write-4k-32:1.15:randwrite:4k:32 nbd-raw-read-4k-1:2:randread:4k:1 \
        nbd-raw-write-4k-1:2:randwrite:4k:1 nbd-raw-read-1m-8:1.15:read:1M:8 nbd-raw-write-1m-8:1.15:write:1M:8
    local name goal rw bs depth
    for spec in "$@"; do
        IFS=: read -r name goal rw bs depth <<<"$spec"
        wanted "$name" && { full_raw; nbd_row "$name" "$goal" raw full.raw "qemu-nbd nbdkit" fio_figure "$rw" "$bs" "$depth" 1; }
        name=${name/raw/qcow2}
        wanted "$name" && { full_qcow2; nbd_row "$name" 1.5 qcow2 full.qcow2 qemu-nbd fio_figure "$rw" "$bs" "$depth" 1; }
    done
    wanted nbd-map && { scattered; nbd_row nbd-map '1.5 less' qcow2 scattered.qcow2 qemu-nbd map_times; }
    wanted nbd-map-answer && { scattered; nbd_row nbd-map-answer '1.5 less' qcow2 scattered.qcow2 qemu-nbd answer_figure; }
    wanted nbd-idle-1000 && { full_raw; nbd_row nbd-idle-1000 '<150 less' raw full.raw "qemu-nbd nbdkit" idle_figure 1000; }
    wanted nbd-busy-64 && { full_raw; busy_row; }
    local server
    for server in qemu-nbd nbdkit byre; do
        wanted copy-from-$server && { copy_raw; client_row copy-from-$server 1.1 $server raw copy.raw t.raw -- {} t.raw; }
        wanted copy-null-$server && { copy_raw; client_row copy-null-$server 1.1 $server raw copy.raw '' -- {} null:; }
        wanted copy-to-$server && { copy_raw; before_raw; client_row copy-to-$server 1.1 $server raw before.raw '' -- copy.raw {}; }
    done
    verify=
    wanted copy-sparse-1T && client_row copy-sparse-1T '<1' nbdkit-memory raw 1T t.raw -- {} t.raw
    wanted copy-sparse-1T-qcow2 && { q create -f qcow2 sparse.qcow2 1T; client_row copy-sparse-1T-qcow2 '<1' qemu-nbd qcow2 sparse.qcow2 t.raw -- {} t.raw; }
    wanted copy-sparse-1T-byre && { q create -f qcow2 sparse.qcow2 1T; client_row copy-sparse-1T-byre '<1' byre qcow2 sparse.qcow2 t.raw -- {} t.raw; }
    rm -f t.raw before.raw
}

busy_row() { # as much with 64 connections as with 4
    local few=() many=() ratios=() round f m ratio verdict
    for ((round = 0; round <= runs; round++)); do
        say "nbd-busy-64: round $round"
        if ! serve byre raw full.raw || ! f=$(fio_figure randread 4k 8 4) || ! m=$(fio_figure randread 4k 8 64); then
            end_server
            table+=("| nbd-busy-64 | failed: byre: $(head -n 1 serve.txt) | | | 0.95 | |")
            missed=1
            return
        fi
        end_server
        [ $round -eq 0 ] && continue
        few+=("$f") many+=("$m") ratios+=("$(awk -v f="$f" -v m="$m" 'BEGIN { print m / f }')")
    done
    ratio=$(printf '%.2f' "$(median "${ratios[@]}")")
    verdict=$(awk -v r="$ratio" 'BEGIN { print (r >= 0.95) ? "met" : "missed" }')
    [ "$verdict" = met ] || missed=1
    table+=("| nbd-busy-64 (byre with 4) | $(median "${few[@]}") | $(median "${many[@]}") | $ratio | 0.95 ($verdict) | - |")
}

full_raw() { # 1 GiB of data
    [ -f full.raw ] || dd if=/dev/urandom of=full.raw bs=1M count=$((1024 / scale)) status=none
}
copy_raw() { # 2.5 GiB, 2 GiB of it data: with more than the kernel lets wait to be written, the row would tell the disk's speed
    [ -f copy.raw ] && return
    full_raw
    local i
    for i in 0 1 2 3; do dd if=full.raw of=copy.raw bs=1M count=$((512 / scale)) seek=$((i * 640 / scale)) conv=notrunc status=none; done
    truncate -s $((2560 / scale))M copy.raw
}
before_raw() { # as large and with as much data as copy.raw, but other data; to a new file the row would tell how quickly the machine gives memory
    local i
    rm -f before.raw
    for i in 0 1 2 3; do dd if=full.raw of=before.raw bs=1M count=$((512 / scale)) skip=$((512 / scale)) seek=$((i * 640 / scale)) conv=notrunc status=none; done
    truncate -s $((2560 / scale))M before.raw
}
full_qcow2() { full_raw; [ -f full.qcow2 ] || q convert -f raw -O qcow2 full.raw full.qcow2; }
