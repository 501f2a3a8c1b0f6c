"""extended.py SOCKET EXPORT [--specification]: what libnbd 1.14 cannot send, byte by byte, over a unix socket.

Extended headers, with 64-bit zeroes, status, the payload filter; commands and options that there are not; EXPORT_NAME.
"""

import socket
import struct
import sys

LENIENT = "--specification" not in sys.argv
OPTION, REQUEST, EXTENDED, REPLY = 0x49484156454F5054, 0x25609513, 0x21E41C71, 0x6E8A278C
READ, WRITE, FLUSH, TRIM, CACHE, ZEROES, STATUS = 0, 1, 3, 4, 5, 6, 7
EINVAL, ENOSPC = 22, 28


class Client:
    def __init__(self, path, flags=3):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        magic, option, server = struct.unpack(">QQH", self.take(18))
        assert magic == 0x4E42444D41474943 and option == OPTION and server & 3 == 3
        self.socket.sendall(struct.pack(">I", flags))
        self.cookie = 100

    def take(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def option(self, number, data=b""):
        self.socket.sendall(struct.pack(">QII", OPTION, number, len(data)) + data)
        replies = []
        while True:
            magic, echoed, kind, length = struct.unpack(">QIII", self.take(20))
            assert magic == 0x3E889045565A9 and echoed == number
            replies.append((kind, self.take(length)))
            if kind == 1 or kind & 0x80000000:
                return replies

    def names(self, number, export, queries):
        text = struct.pack(">I", len(export)) + export + struct.pack(">I", len(queries))
        return self.option(number, text + b"".join(struct.pack(">I", len(query)) + query for query in queries))

    def go(self, export):
        return self.option(7, struct.pack(">I", len(export)) + export + struct.pack(">HH", 1, 3))

    def request(self, command, offset, length, flags=0, payload=b""):
        self.cookie += 1
        if payload:
            flags |= 1 << 5
        self.socket.sendall(struct.pack(">IHHQQQ", EXTENDED, flags, command, self.cookie, offset, length) + payload)
        chunks = []
        while True:
            magic, flags, kind, cookie, at, size = struct.unpack(">IHHQQQ", self.take(32))
            assert magic == REPLY and cookie == self.cookie and at == offset
            chunks.append((kind, self.take(size)))
            if flags & 1:
                return chunks


def error_of(chunks):
    kind, data = chunks[-1]
    return struct.unpack(">I", data[:4])[0] if kind & 0x8000 else 0


def refused(what, wanted, chunks):
    assert error_of(chunks) == wanted or LENIENT and error_of(chunks) == EINVAL, (what, chunks)


def extents(chunks):
    found = {}
    for kind, data in chunks:
        assert kind == 6, chunks
        context, count = struct.unpack(">II", data[:8])
        assert context not in found and len(data) == 8 + 16 * count, chunks
        found[context] = [struct.unpack_from(">QQ", data, 8 + 16 * i) for i in range(count)]
    return found


def main(path, export):
    client = Client(path)
    print("unknown option", [hex(kind) for kind, _ in client.option(77, b"abc")])
    print("options with data", [hex(client.option(number, b"x")[-1][0]) for number in (3, 8, 11)])
    print("status before headers", [hex(kind) for kind, _ in client.names(10, export, [b"base:allocation"])][-1:])
    assert client.option(11)[-1][0] == 1
    print("structured after extended", [hex(kind) for kind, _ in client.option(8)])
    ids = {}
    for kind, data in client.names(10, export, [b"base:allocation", b"qemu:allocation-depth", b"x:y"])[:-1]:
        assert kind == 4
        ids[data[4:].decode()] = struct.unpack(">I", data[:4])[0]
    print("contexts", sorted(ids))
    assert len(set(ids.values())) == len(ids)
    infos = client.go(export)
    size, transmission = next(struct.unpack(">QH", data[2:]) for kind, data in infos if kind == 3 and data[:2] == b"\0\0")
    print("size", size, "flags", hex(transmission))

    # One question for the whole disk, and more where it is not answered in full.
    whole = {}
    position = 0
    while position < size:
        reply = extents(client.request(STATUS, position, size - position))
        assert set(reply) == set(ids.values())
        for name, number in ids.items():
            at = position
            for length, status in reply[number]:
                length = min(length, size - at)
                entries = whole.setdefault(name, [])
                if sum(entry[0] for entry in entries) == at:
                    if entries and entries[-1][1] == status:
                        entries[-1][0] += length
                    else:
                        entries.append([length, status])
                at += length
        position = min(sum(entry[0] for entry in entries) for entries in whole.values())
        for entries in whole.values():
            while sum(entry[0] for entry in entries) > position:
                over = sum(entry[0] for entry in entries) - position
                cut = min(over, entries[-1][0])
                entries[-1][0] -= cut
                if not entries[-1][0]:
                    entries.pop()
    for name in sorted(whole):
        print(name, *(f"{length}:{status}" for length, status in whole[name]))

    # One context only, by the payload filter; and filters that are wrong.
    depth = ids["qemu:allocation-depth"]
    only = extents(client.request(STATUS, 0, 12, 0, struct.pack(">QI", 65536, depth)))
    assert set(only) == {depth}, only
    none = client.request(STATUS, 0, 8, 0, struct.pack(">Q", 65536))
    assert error_of(none) in (0, EINVAL), none
    refused("a filter with an unknown context", EINVAL, client.request(STATUS, 0, 12, 0, struct.pack(">QI", 65536, 12345)))
    refused("a filter with a context twice", EINVAL, client.request(STATUS, 0, 16, 0, struct.pack(">QII", 65536, depth, depth)))
    refused("a filter past the end", EINVAL, client.request(STATUS, size - 512, 12, 0, struct.pack(">QI", 65536, depth)))
    refused("an unknown command", EINVAL, client.request(99, 0, 0))
    refused("zeroes of 2^63", ENOSPC, client.request(ZEROES, 0, 1 << 63))
    refused("status of 2^64-1", EINVAL, client.request(STATUS, 0, (1 << 64) - 1))
    refused("a read after the end", EINVAL, client.request(READ, size, 512))
    assert error_of(client.request(WRITE, 0, 4096, 1, b"w" * 4096)) == 0
    assert error_of(client.request(ZEROES, 1 << 20, min(size - (1 << 20), 8 << 40), 0)) == 0
    assert error_of(client.request(TRIM, 1 << 20, size - (1 << 20))) == 0
    assert error_of(client.request(CACHE, 0, 65536)) == 0
    assert error_of(client.request(FLUSH, 0, 0)) == 0
    first = client.request(READ, 0, 4096, 1 << 2)
    assert [kind for kind, _ in first if kind] == [1] and first[0][1][8:] == b"w" * 4096
    client.socket.close()

    client = Client(path)
    client.socket.sendall(struct.pack(">QII", OPTION, 1, len(export)) + export)
    print("export name", struct.unpack(">QH", client.take(10))[0])
    client.socket.sendall(struct.pack(">IHHQQI", REQUEST, 0, READ, 5, 0, 4))
    assert client.take(20) == struct.pack(">IIQ", 0x67446698, 0, 5) + b"wwww"
    client.socket.close()


main(sys.argv[1], sys.argv[2].encode())
