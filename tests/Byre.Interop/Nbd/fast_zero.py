# Fast zeroes of a part of each cluster: what is refused changes nothing, what succeeds reads as zeroes.
import sys
import nbd

handle = nbd.NBD()
handle.connect_uri(sys.argv[1])
size = min(handle.get_size(), 16 << 20)
cluster = 1 << 16


def zero(offset, length):
    before = handle.pread(length, offset)
    try:
        handle.zero(length, offset, nbd.CMD_FLAG_FAST_ZERO)
        result, expected = "done", bytes(length)
    except nbd.Error as error:
        result, expected = error.errno, before
    assert handle.pread(length, offset) == expected, f"{offset}+{length}: {result}"
    return result


for start in range(0, size - cluster, cluster):
    print(start, zero(start + 4096, 512), zero(start + 30000, 7), zero(start, 1024), zero(start + cluster - 100, 100))
handle.flush()
handle.shutdown()
