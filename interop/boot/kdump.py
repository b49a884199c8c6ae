#!/usr/bin/env python3
"""kdump.py IMAGE: a real crash. A guest loads a crash kernel and panics; its /proc/vmcore is compared with the peers."""

import random
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import maps
import peers
from guest import Guest

SYMBOLS = 3000
AREAS = 300
# Bases of the kernel's regions, kept in variables of their own since KASLR moves them.
BASES = ("page_offset_base", "vmalloc_base", "vmemmap_base")


def main(image):
    with tempfile.TemporaryDirectory(prefix="kscope-kdump.") as work:
        guest = Guest(Path(work) / "guest", image, "crash", "384M", "crashkernel=128M")
        with guest:
            guest.wait_for("guest: crashing", 120)
            size = guest.wait_for("guest: vmcore", 180)
            guest.wait_for_end(30)
        dump = guest.work / "vmcore"
        with open(dump, "r+b") as file:
            file.truncate(int(re.search(r"(\d+) bytes", size)[1]))
        print(f"crashed and captured: {size}")
        peers.check_info(dump)
        peers.check_vmcoreinfo(dump)
        check_memory(dump, guest.unpack("facts.tar"))
        filtered = guest.work / "filtered"
        peers.run("makedumpfile", "-E", "-d", "31", dump, filtered)
        print(f"filtered by makedumpfile -E -d 31: {len(peers.loads(filtered))} segments")
        check_memory(filtered, guest.work / "facts")
        print("memory maps of the crashed kernel")
        maps.check(guest.work / "facts")
        print("memory maps of the crash kernel")
        maps.check(guest.unpack("capture.tar"))


def check_memory(dump, facts):
    """Translations and bytes; the same choice in every run of one guest."""
    chance = random.Random(1)
    peers.check_vtop(dump, addresses(dump, facts, chance))
    peers.check_read(dump, areas(dump, chance))


def addresses(dump, facts, chance):
    """Kernel addresses of every kind, mapped and not."""
    symbols = {}
    for line in (facts / "kallsyms.txt").read_text().splitlines():
        address, _, name = line.split()[:3]
        if int(address, 16) >> 63:  # per-CPU symbols are offsets
            symbols.setdefault(name, int(address, 16))
    out = chance.sample(sorted(symbols.values()), SYMBOLS)
    wanted = [symbols[name] for name in BASES]
    answers = peers.kdpeer(dump, "peek", "".join(f"{a:x}\n" for a in wanted))
    direct, vmalloc, vmemmap = (int(line.split()[1], 16) for line in answers.splitlines())
    for start, end in peers.merged((s["paddr"], s["paddr"] + s["memsz"]) for s in peers.loads(dump)):
        out += [direct + start, direct + end - 1, direct + end]
        for _ in range(200):
            physical = chance.randrange(start, end)
            out += [direct + physical, vmemmap + physical // peers.PAGE * 64]
    out += [vmalloc + chance.randrange(1 << 24) for _ in range(500)]
    # User space, the top, and either side of the hole that is no address at all.
    out += [0, 0x400000, (1 << 47) - 1, (1 << 64) - (1 << 47), (1 << 64) - 1, 0xFFFFFFFF7FFF0000]
    return out


def areas(dump, chance):
    """Whole pages and odd pieces of what the file holds."""
    stored = peers.stored(dump)
    out = []
    while len(out) < AREAS:
        start, end = chance.choice(stored)
        address = chance.randrange(start, end)
        length = chance.choice((1, 8, 100, peers.PAGE, 5 * peers.PAGE))
        if address % 2 == 0 and length >= peers.PAGE:
            address -= address % peers.PAGE
        if start <= address and address + length <= end:
            out.append((address, length))
    return out


if __name__ == "__main__":
    main(sys.argv[1])
