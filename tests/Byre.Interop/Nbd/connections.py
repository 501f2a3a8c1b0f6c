"""connections.py URI: four connections write in turn and at the same time, and each reads what any has written."""

import sys

import nbd

KIB = 1024
handles = [nbd.NBD() for _ in range(4)]
for handle in handles:
    handle.connect_uri(sys.argv[1])
    assert handle.can_multi_conn()

# A write that was answered is read by every connection, with no flush between them.
for turn in range(64):
    writer = handles[turn % 4]
    data = bytes([turn + 1]) * (3 * KIB + turn)
    offset = (turn * 37 * KIB) % (3000 * KIB)
    if turn % 8 == 7:
        writer.zero(len(data), offset)
        data = bytes(len(data))
    else:
        writer.pwrite(data, offset)
    for handle in handles:
        assert handle.pread(len(data), offset) == data, turn

# Requests of all connections in flight, each to its own place, with flushes between them.
done = []
for turn in range(256):
    handle = handles[turn % 4]
    buffer = nbd.Buffer.from_bytearray(bytearray([turn]) * (4 * KIB))
    handle.aio_pwrite(buffer, turn * 8 * KIB, lambda error: done.append(error.value) or 1)
    if turn % 16 == 5:
        handle.aio_flush(lambda error: done.append(error.value) or 1)
for handle in handles:
    while handle.aio_in_flight():
        handle.poll(-1)
assert len(done) == 256 + 16 and not any(done), done
for turn in range(256):
    assert handles[(turn + 1) % 4].pread(4 * KIB, turn * 8 * KIB) == bytes([turn]) * (4 * KIB)
for handle in handles:
    handle.flush()
    handle.shutdown()
print("all seen")
