"""commands.py URI [--specification]: every command of the protocol through libnbd.

Prints what a client can see, and asserts what it must see. What no client should send must fail with the specification's error;
without --specification it may also fail with EINVAL, which qemu-nbd answers to all of it.
"""

import hashlib
import os
import sys

import nbd

CONTEXTS = ["base:allocation", "qemu:allocation-depth", "qemu:dirty-bitmap:b", "qemu:dirty-bitmap:fine"]
KIB = 1024
LENIENT = [] if "--specification" in sys.argv else ["EINVAL"]


def connect(uri, contexts=CONTEXTS):
    handle = nbd.NBD()
    handle.set_strict_mode(0)
    for name in contexts:
        handle.add_meta_context(name)
    handle.connect_uri(uri)
    return handle


def digest(data):
    return hashlib.md5(data).hexdigest()[:12]


def refused(what, wanted, action):
    """A request that must fail with an error, and after which the connection goes on."""
    try:
        action()
    except nbd.Error as error:
        assert error.errno in (wanted, *LENIENT), (what, error.errno, wanted)
    else:
        raise AssertionError(what + " succeeds")


def structured(handle, offset, length, flags=0):
    """Reads with chunks: each byte comes once, none outside; what kind of chunk it comes in is the server's matter."""
    filled = bytearray(length)
    chunks = []

    def chunk(part, at, kind, error):
        assert kind in (nbd.READ_DATA, nbd.READ_HOLE), kind
        assert offset <= at and at + len(part) <= offset + length
        if kind == nbd.READ_HOLE:
            assert not any(part)
        filled[at - offset:at - offset + len(part)] = part
        chunks.append((at, len(part), kind))

    data = handle.pread_structured(length, offset, chunk, flags)
    assert bytes(data) == bytes(filled)
    position = offset
    for at, size, _ in sorted(chunks):
        assert at == position, chunks
        position += size
    assert position == offset + length, chunks
    if flags & nbd.CMD_FLAG_DF:
        assert len(chunks) == 1, chunks
    return data


def extents(handle, offset, length, flags=0):
    """The merged extents of each context; replies may stop early, and the contexts at different places."""
    found = {}
    for name in CONTEXTS:
        if not handle.can_meta_context(name):
            continue
        entries = []
        position = offset
        while position < offset + length:
            reply = []

            def keep(context, start, numbers, error, name=name, position=position, reply=reply):
                assert start == position
                if context == name:
                    assert not reply and numbers
                    reply.extend(numbers)

            handle.block_status(offset + length - position, position, keep, flags)
            if flags & nbd.CMD_FLAG_REQ_ONE:
                assert len(reply) == 2 and position + reply[0] <= offset + length, reply
            for size, status in zip(reply[::2], reply[1::2]):
                assert size > 0
                size = min(size, offset + length - position)
                if entries and entries[-1][1] == status:
                    entries[-1][0] += size
                else:
                    entries.append([size, status])
                position += size
        found[name] = entries
    return found


def show(handle, offset, length):
    every = extents(handle, offset, length)
    assert every == extents(handle, offset, length, nbd.CMD_FLAG_REQ_ONE)
    for name, entries in every.items():
        print(" ", name, *(f"{size}:{status}" for size, status in entries))


def main(uri):
    handle = connect(uri)
    size = handle.get_size()
    print("size", size, "read-only", handle.is_read_only(), "protocol", handle.get_protocol())
    print("contexts", [name for name in CONTEXTS if handle.can_meta_context(name)])
    for name in "cache df fast_zero flush fua multi_conn trim zero".split():
        print(name, getattr(handle, "can_" + name)())
    least = int(os.environ.get("LEAST", 1))  # qemu-nbd tells 512 for an encrypted image; Byre takes any part
    assert handle.get_block_size(nbd.SIZE_MINIMUM) <= least
    for name in "PREFERRED MAXIMUM".split():
        print(name, handle.get_block_size(getattr(nbd, "SIZE_" + name)))

    part = min(size, 4096 * KIB)
    before = handle.pread(part, 0)
    print("content", digest(before))
    show(handle, 0, part)
    for offset, length in ((0, 1), (1, 511), (65530, 13), (60000, 300000), (part - 1, 1), (part - 70001, 70001), (0, part), (60 * KIB, 8 * KIB)):
        if offset % least or length % least:
            continue
        data = structured(handle, offset, length)
        assert data == before[offset:offset + length]
        assert structured(handle, offset, length, nbd.CMD_FLAG_DF) == data
        assert handle.pread(length, offset) == data
    handle.flush()

    model = bytearray(before)
    if handle.is_read_only():
        read_only(handle)
    else:
        change(handle, model, least)
    print("content", digest(handle.pread(part, 0)))

    if not LENIENT or not handle.is_read_only():
        handle.cache(100 * KIB, 3 * least)  # qemu-nbd copies to the top layer, and so refuses it for a read-only export
    mistakes(handle, size)
    assert handle.pread(part, 0) == model
    without = connect(uri, [])
    refused("status without contexts", "EINVAL", lambda: without.block_status(KIB, 0, lambda *rest: 0))
    assert without.pread(part, 0) == model
    simple = nbd.NBD()
    simple.set_strict_mode(0)
    simple.set_request_structured_replies(False)
    simple.connect_uri(uri)
    assert simple.get_structured_replies_negotiated() is False
    assert simple.pread(part, 0) == model
    refused("simple read past the end", "EINVAL", lambda: simple.pread(KIB, size - 512))
    assert simple.pread(part, 0) == model
    for each in (handle, without, simple):
        each.shutdown()


def read_only(handle):
    block = bytes(KIB)
    for what, action in {
        "write": lambda: handle.pwrite(block, 0),
        "write with FUA": lambda: handle.pwrite(block, 0, nbd.CMD_FLAG_FUA),
        "zero": lambda: handle.zero(KIB, 0),
        "zero with NO_HOLE": lambda: handle.zero(KIB, 0, nbd.CMD_FLAG_NO_HOLE),
        "trim": lambda: handle.trim(KIB, 0),
    }.items():
        refused(what, "EPERM", action)


def change(handle, model, least):
    """Writes everything that there is to write, and compares content and extents after each."""
    fua = nbd.CMD_FLAG_FUA
    part = len(model)

    def write(name, offset, length, action, byte=0):
        try:
            action()
            model[offset:offset + length] = bytes([byte]) * length
            print(name, "done")
        except nbd.Error as error:
            print(name, error.errno)
        assert handle.pread(part, 0) == model, name
        if offset % (64 * KIB) == 0 and length % (64 * KIB) == 0:
            show(handle, offset, length)  # how much of a part is copied with it, or written as zeroes, is the server's matter

    def fill(name, offset, length, byte, flags=0):
        write(name, offset, length, lambda: handle.pwrite(bytes([byte]) * length, offset, flags), byte)

    def zero(name, offset, length, flags=0):
        write(name, offset, length, lambda: handle.zero(length, offset, flags))

    fill("write", 5 * KIB, 3 * KIB, 201)
    fill("write with FUA", 130 * KIB, 70 * KIB, 202, fua)
    fill("write of clusters", 768 * KIB, 128 * KIB, 204)
    if least == 1:
        fill("write of one byte", 70 * KIB, 1, 203)
    zero("zero", 140 * KIB, 20 * KIB)
    zero("zero of clusters", 192 * KIB, 128 * KIB)
    zero("zero with NO_HOLE", 384 * KIB, 128 * KIB, nbd.CMD_FLAG_NO_HOLE)
    zero("zero with FAST_ZERO", 512 * KIB, 128 * KIB, nbd.CMD_FLAG_FAST_ZERO)
    zero("zero with all", 640 * KIB, 64 * KIB, fua | nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FAST_ZERO)
    before = bytes(model)
    handle.trim(64 * KIB, 1024 * KIB, fua)
    model[:] = handle.pread(part, 0)
    trimmed = slice(1024 * KIB, 1088 * KIB)
    assert model[trimmed] == before[trimmed] or not any(model[trimmed])
    assert model[:trimmed.start] == before[:trimmed.start] and model[trimmed.stop:] == before[trimmed.stop:]
    show(handle, 960 * KIB, 192 * KIB)
    handle.flush()


def mistakes(handle, end):
    """What no client should send."""
    block = bytes(KIB)
    writes = "EPERM" if handle.is_read_only() else "ENOSPC"
    refused("read past the end", "EINVAL", lambda: handle.pread(KIB, end - 512))
    refused("read after the end", "EINVAL", lambda: handle.pread(KIB, end + KIB))
    refused("read at the highest offset", "EINVAL", lambda: handle.pread(KIB, 0x7ffffffffffffe00))
    refused("write past the end", writes, lambda: handle.pwrite(block, end - 512))
    refused("write after the end", writes, lambda: handle.pwrite(block, end))
    refused("write at the highest offset", writes, lambda: handle.pwrite(block, 0x7ffffffffffffe00))
    refused("zero past the end", writes, lambda: handle.zero(KIB, end - 512))
    refused("trim past the end", "EPERM" if handle.is_read_only() else "EINVAL", lambda: handle.trim(KIB, end - 512))
    refused("cache past the end", "EINVAL", lambda: handle.cache(KIB, end - 512))
    refused("status past the end", "EINVAL", lambda: handle.block_status(KIB, end - 512, lambda *rest: 0))
    for flag in (1 << 6, 1 << 9, 1 << 15):
        refused(f"read with flag {flag}", "EINVAL", lambda: handle.pread(KIB, 0, flag))
        refused(f"flush with flag {flag}", "EINVAL", lambda: handle.flush(flag))
        refused(f"cache with flag {flag}", "EINVAL", lambda: handle.cache(KIB, 0, flag))
        refused(f"status with flag {flag}", "EINVAL", lambda: handle.block_status(KIB, 0, lambda *rest: 0, flag))
        if not handle.is_read_only():
            refused(f"write with flag {flag}", "EINVAL", lambda: handle.pwrite(block, 0, flag))
            refused(f"trim with flag {flag}", "EINVAL", lambda: handle.trim(KIB, 0, flag))
            refused(f"zero with flag {flag}", "EINVAL", lambda: handle.zero(KIB, 0, flag))
    refused("read with DF and REQ_ONE", "EINVAL", lambda: handle.pread(KIB, 0, nbd.CMD_FLAG_DF | nbd.CMD_FLAG_REQ_ONE))
    refused("status with NO_HOLE", "EINVAL", lambda: handle.block_status(KIB, 0, lambda *rest: 0, nbd.CMD_FLAG_NO_HOLE))
    if not handle.is_read_only():
        refused("write with FAST_ZERO", "EINVAL", lambda: handle.pwrite(block, 0, nbd.CMD_FLAG_FAST_ZERO))
        refused("trim with NO_HOLE", "EINVAL", lambda: handle.trim(KIB, 0, nbd.CMD_FLAG_NO_HOLE))


main(sys.argv[1])
