#!/usr/bin/env python3
"""qemu_dump.py IMAGE: idle guests dumped by QEMU, and by us, compared with QEMU's own view of the same stopped machine.

One guest has four levels of page tables and memory above 4 GiB, one has five levels.
"""

import random
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import guest_core
import maps
import peers
import raw
from guest import Guest

GUESTS = (
    ("four levels", {"machine": "pc,max-ram-below-4g=96M"}, False),
    ("five levels", {"cpu": "max,-cx16"}, True),
)
CR4_LA57 = 1 << 12
TRANSLATIONS = 4000
# The bits of a page table entry that `info tlb` shows, in its order: XGPDACTUW.
TLB_BITS = (63, 8, 7, 6, 5, 4, 3, 2, 1)
SHOWN = sum(1 << bit for bit in TLB_BITS)


def main(image):
    with tempfile.TemporaryDirectory(prefix="kscope-qemu.") as work:
        for number, (name, options, five_levels) in enumerate(GUESTS):
            print(f"an idle guest with {name}")
            with Guest(Path(work) / f"guest{number}", image, "idle", "192M", **options) as guest:
                guest.wait_for("guest: ready", 120)
                guest.qmp("stop")
                check(guest, five_levels)


def check(guest, five_levels):
    plain, paging = guest.dump("plain.elf"), guest.dump("paging.elf", paging=True)
    registers = guest.hmp("info registers")
    cr3, cr4 = (int(re.search(rf"{name}=([0-9a-f]+)", registers)[1], 16) for name in ("CR3", "CR4"))
    peers.expect("five levels", bool(cr4 & CR4_LA57), five_levels)

    ram = guest.save_ram(peers.stored(plain))
    tlb = page_tables(guest)
    core, bare = guest_core.build(guest, plain, ram, tlb)
    for dump in (plain, paging, core):
        print(f"{dump.name}: {len(peers.loads(dump))} segments")
        peers.check_info(dump, processors(guest))
        peers.check_vmcoreinfo(dump)
        check_page_tables(dump, cr3, tlb)
        peers.check_vtop(dump, sample(tlb))
    check_ram(plain, ram)
    text = guest.work / "vmcoreinfo"
    text.write_bytes(peers.kscope("dump", "vmcoreinfo", plain))
    raw.check(plain, "x86_64", ram, text, sample(tlb))
    print(f"{core.name}, beside {plain.name}")
    check_ram(core, ram)
    guest_core.check(core, bare, plain, ram, cr3)
    facts = guest.unpack("facts.tar")
    guest_core.check_log(core, facts)
    print("memory map")
    maps.check(facts)


def check_ram(dump, ram):
    """Every byte of RAM, through us and through libkdumpfile."""
    areas = [(start, file.stat().st_size) for start, file in ram.items()]
    peers.expect("ranges of RAM", peers.stored(dump), [(start, start + size) for start, size in areas])
    for start, size in areas:
        if peers.read(dump, start, size) != ram[start].read_bytes():
            raise peers.Differs(f"RAM {start:#x}-{start + size - 1:#x} is not what QEMU saved")
    print(f"  RAM: {sum(size for _, size in areas) >> 20} MiB read are the bytes that QEMU's pmemsave wrote")
    peers.check_read(dump, areas)


def processors(guest):
    """`info registers` of each processor, named as in the kernel's user_regs_struct; QEMU numbers them from 1."""
    out = []
    for cpu in range(len(guest.qmp("query-cpus-fast"))):
        text = guest.hmp("info registers", cpu)
        named = {name.lower(): int(value, 16) for name, value in re.findall(r"\b(R\w\w?) *=([0-9a-f]+)", text)}
        named |= {name.lower(): int(value, 16) for name, value in re.findall(r"\b([C-GS]S) *=([0-9a-f]{4})", text)}
        named["eflags"] = named.pop("rfl")
        out.append({"pid": cpu + 1, **named})
    return out


def page_tables(guest):
    """`info tlb`: (physical, large, flags) by virtual address, of every page that CR3 maps."""
    row = re.compile(r"^([0-9a-f]{16}): ([0-9a-f]{16}) ([-A-Z]{9})")
    found = (row.match(line) for line in guest.hmp("info tlb").splitlines())
    return {int(page[1], 16): (int(page[2], 16), page[3][2] == "P", flags(page[3])) for page in found if page}


def flags(letters):
    """QEMU's letters of a page table entry as its bits; P is "large", which is a fact of its own here."""
    return sum(1 << bit for letter, bit in zip(letters, TLB_BITS) if letter not in "-P")


def check_page_tables(dump, cr3, tlb):
    """`mappings` page by page and `vtop`, against `info tlb`."""
    ours = {}
    extents = peers.mappings(dump, "--root", f"{cr3:#x}")
    for virt, phys, length, size, entry in extents:
        for offset in range(0, length, size):
            ours[virt + offset] = (phys + offset, size > peers.PAGE, entry & SHOWN)
    peers.expect("mappings", ours, tlb)
    wanted = sample(tlb)
    theirs = {address: tlb[address & -peers.PAGE][0] + address % peers.PAGE for address in wanted}
    peers.expect("vtop", peers.vtop(dump, wanted, "--root", f"{cr3:#x}"), theirs)
    large = sum(page[1] for page in tlb.values())
    print(f"  page tables: {len(tlb)} pages ({large} large) in {len(extents)} extents as QEMU's info tlb lists them")


def sample(tlb):
    """Addresses inside mapped pages; the same in every run over one machine."""
    chance = random.Random(1)
    pages = chance.sample(sorted(tlb), min(TRANSLATIONS, len(tlb)))
    return [page + chance.randrange(peers.PAGE) for page in pages]


if __name__ == "__main__":
    main(sys.argv[1])
