#!/usr/bin/env python3
"""foreign_guests.py IMAGES: idle guests of other architectures (folders named after them, made by foreign.sh), dumped by QEMU;
every kind of page table that they use, compared with QEMU's own translations of the same stopped machine.
"""

import json
import random
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import peers
import raw
from guest import Machine

QUESTIONS = 12_000
ARM64 = ["qemu-system-aarch64", "-M", "virt", "-device", "vmcoreinfo"]
RISCV64 = ["qemu-system-riscv64", "-M", "virt", "-m", "192M"]
I386 = ["qemu-system-x86_64", "-M", "pc", "-m", "192M", "-cpu", "max,-cx16", "-device", "vmcoreinfo"]
S390X = ["qemu-system-s390x", "-M", "s390-ccw-virtio", "-m", "192M", "-cpu", "max"]
PPC64 = ["qemu-system-ppc64", "-M", "pseries", "-m", "512M", "-cpu", "power9"]
MAX = "max,pauth-impdef=on"
# What `uname -m` says, by what the name of a paging mode begins with. Of ppc64le QEMU's dumps say that they are big-endian, so that
# there is no log in them beside which to read the memory's.
ARCHITECTURES = {
    "aarch64": "aarch64", "sv39": "riscv64", "sv48": "riscv64", "sv57": "riscv64", "32": "i686", "pae": "i686", "region": "s390x",
    "radix": None,
}  # fmt: skip


def guests(images):
    """(paging mode, command, kernel, kernel command line)"""
    # The blocks of 64 KiB granules take more memory, 512 MiB each. On a processor with 48 bits their tables have the same layout.
    for mode, kernel, cpu, memory in (
        ("aarch64-4k-52-lpa2", "linux-image-cloud-arm64", MAX, "192M"),
        ("aarch64-4k-48", "linux-image-cloud-arm64", f"{MAX},lpa2=off", "192M"),
        ("aarch64-16k-52-lpa2", "linux-image-arm64-16k", MAX, "192M"),
        ("aarch64-16k-47", "linux-image-arm64-16k", f"{MAX},lpa2=off", "192M"),
        ("aarch64-64k-52-lpa", "linux-arm64-64k", MAX, "1G"),
        ("aarch64-64k-52-lpa", "linux-arm64-64k", "cortex-a72", "192M"),
    ):
        yield mode, [*ARM64, "-cpu", cpu, "-m", memory], f"{images}/arm64/{kernel}", "console=ttyAMA0"
    for mode, limit in (("sv39", "no4lvl"), ("sv48", "no5lvl"), ("sv57", "")):
        yield mode, RISCV64, f"{images}/riscv64/linux-image-riscv64", f"console=ttyS0 {limit}"
    for mode, kernel in (("32-bit", "linux-image-686"), ("pae", "linux-image-686-pae")):
        yield mode, I386, f"{images}/i386/{kernel}", "console=ttyS0"
    yield "region-third", S390X, f"{images}/s390x/linux-image-s390x", "console=ttysclp0"
    for mode, kernel in (("radix-4k", "linux-image-powerpc64le"), ("radix-64k", "linux-image-powerpc64le-64k")):
        yield mode, PPC64, f"{images}/ppc64el/{kernel}", "console=hvc0"


def main(images):
    with tempfile.TemporaryDirectory(prefix="kscope-foreign.") as work:
        for mode, command, kernel, append in guests(images):
            print(f"an idle guest: {mode}, {' '.join(command)}")
            command = [*command, "-kernel", kernel, "-append", append]
            with Machine(Path(work) / mode, [*command, "-initrd", Path(kernel).parent / "initrd"]) as guest:
                guest.wait_for("guest: ready", 120)
                stop(guest)
                check(guest, mode)


def stop(guest):
    """Stops it, but not in riscv64's firmware (OpenSBI): there are no page tables for `gva2gpa` then."""
    firmware = range(0x80000000, 0x80200000)
    guest.qmp("stop")
    while (pc := re.search(r"^ pc +([0-9a-f]+)", guest.hmp("info registers"), re.M)) and int(pc[1], 16) in firmware:
        guest.qmp("cont")
        time.sleep(0.1)
        guest.qmp("stop")


def check(guest, mode):
    dump = guest.dump()
    tables = root(guest, dump, mode)
    extents = peers.mappings(dump, *tables)
    if listed := listing(guest):
        peers.expect("mappings", merged(extents), listed)
        print(f"  info mem: {len(listed)} areas, mapped as {len(extents)} extents")
    wanted = sample(extents)
    check_translations(guest, dump, wanted, extents, tables)
    check_raw(guest, dump, mode, wanted)
    if mode.startswith("aarch64-64k"):
        check_processes(guest, dump, mode)


def check_translations(guest, dump, wanted, extents, tables, cpu=0):
    """What `gva2gpa` says of addresses in and around the extents of these tables."""
    swapped = prefix(dump)
    ours = {address: absolute(phys, swapped) for address, phys in peers.vtop(dump, wanted, *tables).items()}
    peers.expect("translations", ours, {address: translated(guest, address, cpu) for address in wanted})
    mapped = sum(phys is not None for phys in ours.values())
    sizes = sorted({size for _, _, _, size, _ in extents})
    print(f"  gva2gpa: {len(wanted)} addresses ({mapped} mapped, by pages of {', '.join(map(hex, sizes))}) as QEMU translates them")


def check_processes(guest, dump, mode):
    """The process that each processor ran last. Debian's arm64 kernels have PAN: QEMU, too, sees no process from inside of these."""
    stub = guest.work / "gdb"
    guest.hmp(f"gdbserver unix:{stub},server=on,wait=off")
    ask = (f"target remote {stub}", "thread apply all -ascending -q print/x $TTBR0_EL1", "disconnect")
    shown = peers.run("gdb-multiarch", "-nx", "-batch", *(word for command in ask for word in ("-ex", command)))
    found = 0
    for cpu, ttbr in enumerate(re.findall(r"^\$\d+ = (0x[0-9a-f]+)", shown.decode(), re.M)):
        # Without the number of the address space; there is no RAM above 48 bits.
        tables = ("--root", f"{int(ttbr, 16) & 0xFFFF_FFFF_FFC0:#x}", "--paging", f"{mode}-lower")
        # One that has ended leaves an empty root.
        if extents := peers.mappings(dump, *tables):
            print(f"  a process, of {len(extents)} extents")
            check_translations(guest, dump, sample(extents), extents, tables, cpu)
            found += 1
    if not found:
        raise peers.Differs("no processor has a process's tables")


def check_raw(guest, dump, mode, wanted):
    """The same machine's memory as QEMU saves it without headers."""
    arch = ARCHITECTURES[mode.split("-")[0]]
    if arch is None:
        return
    told = guest.work / "vmcoreinfo"
    if arch == "riscv64":
        # QEMU's dumps have none: the kernel tells where its note lies.
        at, size = guest.wait_for("guest: vmcoreinfo", 1).split()[2:]
        told.write_bytes(peers.read(dump, int(at, 16), int(size, 16)))
    else:
        told.write_bytes(peers.kscope("dump", "vmcoreinfo", dump))
    raw.check(dump, arch, guest.save_ram(peers.stored(dump)), told, wanted)


def root(guest, dump, mode):
    """The options that name the tables on which the first processor runs, where these are not the kernel's own."""
    registers = guest.hmp("info registers")
    if satp := re.search(r"\bsatp +([0-9a-f]+)", registers):
        # QEMU's dumps of riscv64 have no VMCOREINFO.
        satp = int(satp[1], 16)
        peers.expect("mode of satp", {8: "sv39", 9: "sv48", 10: "sv57"}[satp >> 60], mode)
        return "--root", f"{(satp & (1 << 44) - 1) << 12:#x}", "--paging", mode
    if mode.startswith("radix"):
        # Nor do those of ppc64. The kernel lies at address 0 and sees it at 0xc000000000000000.
        swapper = int(guest.wait_for("guest: swapper_pg_dir", 10).split()[2], 16)
        return "--root", f"{swapper % (1 << 60):#x}", "--paging", mode
    info = json.loads(peers.kscope("dump", "info", "--json", dump))
    peers.expect("paging mode", info["paging"]["mode"], mode)
    if cr3 := re.search(r"\bCR3=([0-9a-f]+)", registers):
        return "--root", f"0x{cr3[1]}"
    return ()


def prefix(dump):
    """The prefix register of the first processor, by readelf; None on others than s390x."""
    found = re.search(r"NT_S390_PREFIX .*description data: ([0-9a-f ]+)", peers.run("readelf", "-nW", dump).decode())
    return int(found[1].replace(" ", ""), 16) if found else None


def absolute(phys, prefix):
    """What QEMU gives: tables lead to real addresses, in which a processor of s390x swaps two areas of 8 KiB."""
    if None in (phys, prefix) or phys >> 13 not in (0, prefix >> 13):
        return phys
    return phys ^ prefix


def listing(guest):
    """`info mem`, where it shows physical addresses: {virtual address: (physical, length)}, neighbours in both spaces joined."""
    row = re.compile(r"^([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f]{16}) [-rwxugad]+$")
    found = (row.match(line.strip()) for line in guest.hmp("info mem").splitlines())
    return joined([tuple(int(number, 16) for number in area.groups()) for area in found if area])


def merged(extents):
    return joined([(virt, phys, length) for virt, phys, length, _, _ in extents])


def joined(areas):
    """Neighbours in both spaces made one."""
    out = []
    for virt, phys, length in sorted(areas):
        if out and (out[-1][0] + out[-1][2], out[-1][1] + out[-1][2]) == (virt, phys):
            out[-1] = (out[-1][0], out[-1][1], out[-1][2] + length)
        else:
            out.append((virt, phys, length))
    return {virt: (phys, length) for virt, phys, length in out}


def sample(extents):
    """Addresses at both ends of extents, behind them, and anywhere inside; the same in every run over one machine."""
    chance = random.Random(1)
    chosen = set()
    for virt, _, length, _, _ in chance.sample(extents, min(QUESTIONS // 4, len(extents))):
        chosen |= {virt, virt + length - 1, (virt + length) % (1 << 64)}
    # Among the kernel's addresses most are not mapped.
    width = max(virt for virt, *_ in extents).bit_length()
    top = (1 << width) - 1
    chosen |= {top - chance.randrange(1 << chance.randrange(20, width)) for _ in range(QUESTIONS // 10)}
    while len(chosen) < QUESTIONS:
        virt, _, length, _, _ = chance.choice(extents)
        chosen.add(virt + chance.randrange(length))
    return sorted(chosen)


def translated(guest, address, cpu):
    """QEMU's own translation of an address by a processor, or None."""
    found = re.match(r"gpa: (?:0x)?([0-9a-f]+)", guest.hmp(f"gva2gpa {address:#x}", cpu))
    return int(found[1], 16) if found else None


if __name__ == "__main__":
    main(sys.argv[1])
