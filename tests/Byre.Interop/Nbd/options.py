"""options.py URI EXPORT: the option phase through libnbd; prints what a client can see."""

import sys

import nbd


def opened(uri, structured=True):
    handle = nbd.NBD()
    handle.set_opt_mode(True)
    handle.set_request_structured_replies(structured)
    handle.set_full_info(True)
    handle.connect_uri(uri)
    return handle


def listed(handle):
    found = []
    count = handle.opt_list(lambda name, description: found.append((name, description)))
    assert count == len(found)
    return found


def contexts(handle):
    found = []
    count = handle.opt_list_meta_context(lambda name: found.append(name))
    assert count == len(found)
    return [name for name in found if name not in ("qemu:joint-allocation", "byre:joint")]  # Byre's own


def tried(what, action):
    try:
        result = action()
        print(what, "done" if result is None else result)
    except nbd.Error as error:
        print(what, "refused", error.errno)


def main(uri, export):
    handle = opened(uri)
    print("protocol", handle.get_protocol(), "structured", handle.get_structured_replies_negotiated())
    print("exports", listed(handle), listed(handle))
    print("contexts", contexts(handle))
    for query in ("base:", "qemu:", "qemu:dirty-bitmap:", "qemu:allocation-depth", "base:allocation", "qemu:dirty-bitmap:none", "x:y",
                  "base", "nonsense", "base:alloc", ""):
        handle.clear_meta_contexts()
        handle.add_meta_context(query)
        print("contexts of", repr(query), sorted(contexts(handle)))
    handle.clear_meta_contexts()
    for query in ("base:allocation", "qemu:", "base:allocation", "x:y"):
        handle.add_meta_context(query)
    print("contexts of several", sorted(contexts(handle)))

    handle.set_export_name("missing")
    tried("info of a missing export", handle.opt_info)
    tried("contexts of a missing export", lambda: contexts(handle))
    tried("go to a missing export", handle.opt_go)
    handle.set_export_name(export)
    handle.clear_meta_contexts()
    handle.add_meta_context("base:allocation")
    handle.add_meta_context("qemu:allocation-depth")
    tried("info", handle.opt_info)
    print("size", handle.get_size(), "read-only", handle.is_read_only(), "fast zero", handle.can_fast_zero())
    print("name", repr(handle.get_canonical_export_name()), "described", end=" ")
    tried("as", lambda: repr(handle.get_export_description()))
    print("block sizes", [handle.get_block_size(kind) for kind in (nbd.SIZE_MINIMUM, nbd.SIZE_PREFERRED, nbd.SIZE_MAXIMUM)])
    tried("info again", handle.opt_info)
    tried("go", handle.opt_go)
    print("in use", handle.can_meta_context("base:allocation"), handle.can_meta_context("qemu:allocation-depth"))
    if handle.get_size() > 0:
        handle.pread(min(handle.get_size(), 512), 0)
    handle.shutdown()

    handle = opened(uri)
    handle.opt_abort()
    handle = opened(uri, structured=False)
    print("without structured replies", listed(handle))
    tried("contexts", lambda: contexts(handle))
    tried("go", handle.opt_go)
    print("may split", handle.can_df())
    handle.shutdown()


main(sys.argv[1], sys.argv[2])
