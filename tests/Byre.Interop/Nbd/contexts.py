"""contexts.py URI CONTEXT...: the extents of metadata contexts over a whole export, all asked for at once, as SIZE:NUMBER."""

import sys

import nbd

handle = nbd.NBD()
for name in sys.argv[2:]:
    handle.add_meta_context(name)
handle.connect_uri(sys.argv[1])
for name in sys.argv[2:]:
    if not handle.can_meta_context(name):
        print(name, "refused")
        continue
    entries = []
    position = 0
    while position < handle.get_size():
        reply = []

        def keep(context, start, numbers, error, name=name, reply=reply):
            if context == name:
                reply.extend(numbers)

        handle.block_status(min(handle.get_size() - position, 1 << 31), position, keep)
        for size, status in zip(reply[::2], reply[1::2]):
            size = min(size, handle.get_size() - position)
            if entries and entries[-1][1] == status:
                entries[-1][0] += size
            else:
                entries.append([size, status])
            position += size
    print(name, *(f"{size}:{status}" for size, status in entries))
handle.shutdown()
