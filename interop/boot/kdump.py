#!/usr/bin/env python3
"""kdump.py IMAGE: real crashes. A guest loads a crash kernel and panics; its /proc/vmcore is compared with the peers, and
with what the library makes of the elfcorehdr in the guest's memory."""

import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import inside
import loaded
import maps
import peers
from guest import Guest

MEMORY = "384M"
CRASH_KERNEL = "128M"
SYMBOLS = 3000
AREAS = 300
# Bases of the kernel's regions, kept in variables of their own since KASLR moves them.
BASES = ("page_offset_base", "vmalloc_base", "vmemmap_base")


def main(image):
    with tempfile.TemporaryDirectory(prefix="kscope-kdump.") as work:
        # kexec-tools makes the elfcorehdr for kexec_load(2), and Linux for kexec_file_load(2).
        check_dump(crash(image, Path(work), "-c"))
        crash(image, Path(work), "-s")


def crash(image, work, loader):
    """A guest that crashed, all of its files compared as far as the library can make them again."""
    append = f"crashkernel={CRASH_KERNEL} loader={loader}"
    guest = Guest(work / f"guest{loader}", image, "crash", MEMORY, append)
    with guest:
        guest.wait_for("guest: crashing", 120)
        guest.wait_for("guest: capturing", 120)
        header = elfcorehdr(guest.wait_for("guest: told", 1))
        ram = guest.save_ram([(0, int(MEMORY[:-1]) << 20)])[0]
        size = guest.wait_for("guest: vmcore", 180)
        guest.wait_for_end(30)
    with open(guest.work / "vmcore", "r+b") as file:
        file.truncate(int(re.search(r"(\d+) bytes", size)[1]))
    print(f"kexec {loader}: crashed and captured: {size}")
    check_proc_vmcore(ram, header, guest.work / "vmcore")
    return guest


def elfcorehdr(cmdline):
    """The address that a crash kernel was told: `elfcorehdr=[SIZE@]ADDRESS`, in KiB from kexec-tools."""
    address = re.search(r"elfcorehdr=(?:\w+@)?(\w+)", cmdline)[1]
    return int(address[:-1]) << 10 if address.endswith("K") else int(address, 0)


def check_proc_vmcore(ram, header, dump):
    """What /proc/vmcore shows, made of the elfcorehdr and the memory that the crash kernel had, to the last byte."""
    made = dump.with_name("made")
    print(peers.run(os.environ["PROC_VMCORE"], ram, f"{header:x}", made).decode().strip())
    compared = subprocess.run(["cmp", made, dump], capture_output=True, text=True, check=False)
    if compared.returncode != 0:
        raise peers.Differs(compared.stdout + compared.stderr)
    made.unlink()
    ram.unlink()


def check_dump(guest):
    dump = guest.work / "vmcore"
    peers.check_info(dump)
    peers.check_vmcoreinfo(dump)
    check_memory(dump, guest.unpack("facts.tar"))
    inside.check(dump, guest.work / "facts")
    loaded.check(dump, guest.work / "facts", "--crash", "--reserved", reserved(guest.work / "facts"))
    filtered = guest.work / "filtered"
    peers.run("makedumpfile", "-E", "-d", "31", dump, filtered)
    print(f"filtered by makedumpfile -E -d 31: {len(peers.loads(filtered))} segments")
    check_memory(filtered, guest.work / "facts")
    print("memory maps of the crashed kernel")
    maps.check(guest.work / "facts")
    print("memory maps of the crash kernel")
    maps.check(guest.unpack("capture.tar"))


def reserved(facts):
    """The memory of the crash kernel, as the kernel that crashed listed it."""
    return re.search(r"^ *(\w+-\w+) : Crash kernel$", (facts / "iomem.txt").read_text(), re.M)[1]


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
