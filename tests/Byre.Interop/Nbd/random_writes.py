"""random_writes.py URI SEED COUNT: random writes, zeroes and trims on two connections against a model.

The same seed sends the same requests. What a trim leaves is read back; everything else must be as it was written.
"""

import hashlib
import random
import sys

import nbd

uri, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
handles = [nbd.NBD(), nbd.NBD()]
for handle in handles:
    handle.connect_uri(uri)
size = min(handles[0].get_size(), 4 << 20)
model = bytearray(handles[0].pread(size, 0))
for step in range(count):
    handle = handles[step % 2]
    unit = random.choice((512, 4096, 65536))
    offset = random.randrange(size // unit) * unit
    length = min(random.choice((unit, unit * 3, unit * random.randrange(1, 9))), size - offset)
    kind = random.choice(("write", "write", "zero", "zero", "no hole", "trim", "read", "flush"))
    fua = random.choice((0, 0, 0, nbd.CMD_FLAG_FUA))
    byte = random.randrange(1, 256)
    if length == 0:
        continue
    if kind == "write":
        handle.pwrite(bytes([byte]) * length, offset, fua)
        model[offset:offset + length] = bytes([byte]) * length
    elif kind in ("zero", "no hole"):
        handle.zero(length, offset, fua | (nbd.CMD_FLAG_NO_HOLE if kind == "no hole" else 0))
        model[offset:offset + length] = bytes(length)
    elif kind == "trim":
        handle.trim(length, offset, fua)
        # Whole clusters may be dropped: their place reads as zeroes or as before.
        after = handle.pread(length, offset)
        for at in range(0, length, 512):
            assert after[at:at + 512] in (model[offset + at:offset + at + 512], bytes(min(512, length - at))), (seed, step)
        # What reads as before may be dropped later: settle it, so that every server has the same.
        handle.zero(length, offset)
        model[offset:offset + length] = bytes(length)
    elif kind == "flush":
        handle.flush()
    assert handles[(step + 1) % 2].pread(length, offset) == model[offset:offset + length], (seed, step, kind)
assert handles[0].pread(size, 0) == model, seed
print(hashlib.md5(model).hexdigest())
for handle in handles:
    handle.flush()
    handle.shutdown()
