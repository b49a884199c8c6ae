"""The core that vmcore-format's example `guest_core` builds of a stopped guest, beside the one that QEMU writes."""

import os
import random
import re
from collections import Counter
from pathlib import Path

import peers

KERNEL_HALF = 1 << 63
WORDS = 64
# QEMU's state of a processor: ten segment registers behind version, size and 18 registers, flags third in each.
STATE, FLAGS = 0x1B0, [0x98 + 24 * number + 8 for number in range(10)]
# Of the flags `info registers` shows these; the others are bits of base and limit.
SHOWN = 0x00FFFF00


def build(guest, plain, ram, tlb):
    """The core, from RAM as `pmemsave` wrote it, `info registers`, and the VMCOREINFO that QEMU found; and one without that."""
    core, bare, registers, vmcoreinfo = (guest.work / name for name in ("core.elf", "bare.elf", "registers", "vmcoreinfo"))
    registers.write_text("".join(named(guest, cpu) for cpu in range(len(guest.qmp("query-cpus-fast")))))
    vmcoreinfo.write_bytes(dict(peers.note_bytes(plain))["VMCOREINFO"])
    base = direct_map(tlb)
    areas = [f"{start:x}@{base + start:x}={file}" for start, file in ram.items()]
    peers.run(os.environ["GUEST_CORE"], core, registers, vmcoreinfo, *areas)
    peers.run(os.environ["GUEST_CORE"], bare, registers, os.devnull, *areas)
    return core, bare


def named(guest, cpu):
    """`info registers` as lines of processor, name and value."""
    text = guest.hmp("info registers", cpu)
    found = {name.lower(): value for name, value in re.findall(r"\b(R\w\w?|CR\d) *=([0-9a-f]+)", text)}
    found["eflags"] = found.pop("rfl")
    row = r"^([A-Z]{2,3}) *= *(?:([0-9a-f]{4}) )?([0-9a-f]{16}) ([0-9a-f]{8})(?: ([0-9a-f]{8}))?"
    for name, selector, base, limit, flags in re.findall(row, text, re.MULTILINE):
        name = name.lower()
        found |= {name: selector, f"{name}_base": base, f"{name}_limit": limit, f"{name}_flags": flags}
    return "".join(f"{cpu} {name} {value}\n" for name, value in found.items() if value)


def direct_map(tlb):
    """Where the kernel sees all memory: the distance of most of its pages from theirs."""
    distances = Counter(virt - page[0] for virt, page in tlb.items() if virt >= KERNEL_HALF)
    return distances.most_common(1)[0][0]


def check(core, bare, plain, ram, cr3):
    """Notes byte for byte as QEMU writes them, and what readelf, elfutils and gdb read; page tables without VMCOREINFO."""
    ours, theirs = peers.note_bytes(core), peers.note_bytes(plain)
    peers.expect("notes", [comparable(*note) for note in ours], [comparable(*note) for note in theirs])
    peers.expect("readelf's warnings", peers.complaints("readelf", "-hlnW", core), "")
    peers.check_info(core)
    check_gdb(core, ram)
    extents = peers.mappings(bare)
    peers.expect("mappings without VMCOREINFO", extents, peers.mappings(core, "--root", f"{cr3:#x}"))
    print(f"  without VMCOREINFO: the same {len(extents)} extents by the CPU's own registers")


def comparable(name, desc):
    """A note without what `info registers` does not show: kernel_gs_base, and so the size."""
    if name != "QEMU":
        return name, desc
    desc = bytearray(desc[:4] + bytes(4) + desc[8:STATE])
    for at in FLAGS:
        flags = int.from_bytes(desc[at : at + 4], "little") & SHOWN
        desc[at : at + 4] = flags.to_bytes(4, "little")
    return name, bytes(desc)


def check_gdb(core, ram):
    """Registers of each processor, and memory by virtual addresses."""
    threads = re.split(r"^Thread (\d+) .*$", peers.gdb(core, "thread apply all info registers"), flags=re.MULTILINE)
    found = {int(pid): dict(re.findall(r"^(\w+) +(0x[0-9a-f]+) ", text, re.MULTILINE)) for pid, text in zip(threads[1::2], threads[2::2])}
    processors = peers.processors(core)
    peers.expect("gdb: threads", sorted(found), [cpu["pid"] for cpu in processors])
    for cpu in processors:
        theirs = {name: int(value, 16) for name, value in found[cpu["pid"]].items() if name in cpu}
        peers.expect("gdb: registers", {name: cpu[name] for name in theirs}, theirs)

    chance = random.Random(1)
    loads = {segment["paddr"]: segment["vaddr"] for segment in peers.loads(core)}
    wanted, saved = [], []
    for _ in range(WORDS):
        start, file = chance.choice(list(ram.items()))
        at = chance.randrange(Path(file).stat().st_size // 8) * 8
        wanted.append(loads[start] + at)
        with open(file, "rb") as memory:
            memory.seek(at)
            saved.append(int.from_bytes(memory.read(8), "little"))
    text = peers.gdb(core, *(f"x/xg {at:#x}" for at in wanted))
    peers.expect("gdb: memory", [int(word, 16) for word in re.findall(r":\t(0x[0-9a-f]{16})$", text, re.MULTILINE)], saved)
    print(f"  gdb: {len(processors)} threads, {len(theirs)} registers each, {WORDS} words by virtual addresses as pmemsave wrote them")


def check_log(core, facts):
    """The kernel's log as makedumpfile finds it in the core, beside what the guest itself wrote."""
    out = core.with_suffix(".dmesg")
    peers.run("makedumpfile", "--dump-dmesg", core, out)
    theirs, ours = (without_times(file.read_text(errors="replace")) for file in (out, facts / "dmesg.txt"))
    # The guest may have said more since.
    peers.expect("log", theirs[: len(ours)], ours)
    print(f"  makedumpfile: {len(ours)} lines of the kernel's log as the guest wrote them")


def without_times(log):
    """Lines without time, which of lines that belong together only one of the two tells."""
    return [re.sub(r"^(\[ *\d+\.\d+\]| {14}) ", "", line) for line in log.splitlines()]
