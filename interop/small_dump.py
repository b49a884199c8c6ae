#!/usr/bin/env python3
"""small_dump.py: the small real dump of testdata/, every answer of `kscope dump` beside readelf's and libkdumpfile's."""

import sys

import peers

# Whole areas are compared piece by piece, so that a difference is found where it is.
PIECE = 16 * peers.PAGE


def main():
    dumps = sorted(peers.ROOT.glob("testdata/**/*.elf"))
    if not dumps:
        sys.exit("testdata/ has no dump")
    for dump in dumps:
        print(dump.relative_to(peers.ROOT))
        peers.check_info(dump)
        peers.check_vmcoreinfo(dump)
        peers.check_vtop(dump, addresses(dump))
        pieces = []
        for start, end in peers.stored(dump):
            pieces += [(at, min(PIECE, end - at)) for at in range(start, end, PIECE)]
        peers.check_read(dump, pieces)


def addresses(dump):
    """Every symbol of VMCOREINFO, both ends of every mapped extent, what lies beside them, and what misses its table."""
    lines = peers.kdpeer(dump, "vmcoreinfo").splitlines()
    out = [int(line.split("=")[1], 16) for line in lines if line.startswith("SYMBOL(")]
    extents, missing = peers.partial_mappings(dump)
    out += missing
    for virt, _, length, *_ in extents:
        out += [virt, virt + length // 2, virt + length - 1, virt + length, virt - 1]
    return [address for address in out if 0 <= address < 1 << 64]


if __name__ == "__main__":
    main()
