"""The page tables in libkdumpfile's tests of kernels (`xlat-linux-*`), walked by `kscope`.

Those tests ask by which methods libkdumpfile would translate, which is no question to us. But each has memory of a kernel, what is known of the
kernel, and what the answers amount to: a root, and ranges that are mapped linearly. A core made of the former must say the latter.
"""

import json
import random
import re
import struct
from itertools import accumulate, repeat

from peers import expect, kscope

# Machine and byte order.
MACHINES = {"x86_64": (62, "little"), "ia32": (3, "little"), "aarch64": (183, "little"), "riscv64": (243, "little"), "s390x": (22, "big")}
# Addresses in a range, besides its ends.
SAMPLES = 40
# A kernel with pages of 64 KiB built for 52 bits of address, on a machine with 48: Linux has the 64 entries that such a machine uses
# at the end of a table of 1,024 (`offset_ttbr1`), the test at its beginning.
MOVED = {"xlat-linux-aarch64-5.16-64k": "aarch64-64k-48"}


def blocks(text, order):
    """What is behind each `@HEAD`: numbers in the machine's order, of as many bytes as they have digits, `*COUNT+STEP` for several."""
    token = re.compile(r"([0-9a-fA-F]+)(?:\*(\w+)([+-][0-9a-fA-F]+)?)?")
    out = []
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("@"):
            out.append((line[1:], bytearray()))
            continue
        for digits, count, step in token.findall(line):
            size = (len(digits) + 1) // 2
            steps = repeat(int(step or "0", 16), int(count or "1", 0) - 1)
            for number in accumulate(steps, initial=int(digits, 16)):
                out[-1][1].extend((number % (1 << 8 * size)).to_bytes(size, order))
    return out


def told(sym, options, order):
    """VMCOREINFO that says what the test is told."""
    lines = [f"PAGESIZE={1 << int(options.get('page_shift', '12'))}"]
    for head, value in sym:
        kind, name = re.fullmatch(r"(\w+)\((\w+)\)", head).groups()
        number = int.from_bytes(value, order)
        if kind == "VALUE":
            lines.append(f"SYMBOL({name})={number:x}")
        elif kind == "NUMBER":
            lines.append(f"NUMBER({name})={number if number < 1 << 63 else hex(number)}")
    if "phys_base" in options:
        lines.append(f"NUMBER(phys_base)={int(options['phys_base'], 0)}")
    return "".join(f"{line}\n" for line in lines).encode()


def core(machine, order, data, info):
    """An ELF core. Of blocks that overlap the last one counts for them, the first one for us."""
    sign, encoding = {"little": ("<", 1), "big": (">", 2)}[order]
    note = struct.pack(f"{sign}3I", 11, len(info), 0) + b"VMCOREINFO\0\0" + info
    offset = 64 + 56 * (len(data) + 1)
    headers = struct.pack(f"{sign}IIQQQQQQ", 4, 0, offset, 0, 0, len(note), len(note), 0)
    contents = note
    for head, block in reversed(data):
        at = int(head, 16)
        headers += struct.pack(f"{sign}IIQQQQQQ", 1, 7, offset + len(contents), 0, at, len(block), len(block), 0)
        contents += block
    ident = bytes((*b"\x7fELF", 2, encoding, 1)).ljust(16, b"\0")
    header = ident + struct.pack(f"{sign}HHIQQQIHHHHHH", 4, machine, 1, 0, 64, 0, 0, 64, 56, len(data) + 1, 0, 0, 0)
    return header + headers + contents


def linear(expected):
    """The ranges of virtual addresses that are mapped linearly, as (first, last, offset)."""
    offsets = {name: int(off, 16) for name, off in re.findall(r"^@(\w+): LINEAR\n  target_as=\w+\n  off=(\w+)$", expected, re.M)}

    def ranges(title):
        rows = re.search(rf"^{title}:\n((?:.+\n)*)", expected, re.M)[1]
        for first, last, method in re.findall(r"^(\w+)-(\w+): @(\w+)$", rows, re.M):
            if method in offsets:
                yield int(first, 16), int(last, 16), offsets[method]

    # Where all virtual addresses go through tables there is still the way back.
    back = ((first + offset, last + offset, -offset) for first, last, offset in ranges("KPHYS -> DIRECT"))
    return list(ranges("KV -> PHYS")) or list(back)


def check(tests, name, path):
    """Root, levels and addresses of one test: how many equal, how many in tables that it does not have; `None` if there is nothing to ask."""
    options = dict(re.findall(r"^ *(\w+)=(\S+)$", (tests / name).read_text(), re.M))
    expected = (tests / f"{name}.expect").read_text()
    if options["arch"] not in MACHINES:
        return None
    machine, order = MACHINES[options["arch"]]
    files = [tests / f"{name}{suffix}" for suffix in (".data", ".sym")]
    data, sym = (blocks(file.read_text(), order) if file.exists() else [] for file in files)
    space, root = re.search(r"^@rootpgt: PGT\n  target_as=\w+\n  root=(\w+):?(\w*)$", expected, re.M).groups()
    # Xen's kernels have two kinds of physical addresses.
    if not data or space == "NOADDR" or "xen_xlat" in options or "data_as" in options:
        return None
    ranges, root = linear(expected), int(root, 16)
    info = told(sym, options, order)
    if "pte_format=ia32_pae" in expected:
        info += b"CONFIG_X86_PAE=y\n"
    path.write_bytes(core(machine, order, data, info))

    if space == "KVADDR":
        offset = next((offset for first, last, offset in ranges if first <= root <= last), None)
        if offset is None:
            return None
        root = (root + offset) % (1 << 64)
    if name in MOVED:
        paging = ["--root", hex(root), "--paging", MOVED[name]]
    elif not sym or "@REG(cr3)" in files[1].read_text():
        paging = ["--root", hex(root)]
    else:
        said, paging = json.loads(kscope("dump", "info", "--json", path))["paging"], []
        expect(f"{name}: root", int(said["root"], 16), root)
        fields = re.search(r"^  fields=(.*)$", expected, re.M)[1].split(",")
        expect(f"{name}: levels", said["levels"], len(fields) - 1)

    rng = random.Random(name)
    wanted = {}
    for first, last, offset in ranges:
        for at in (first, last, *(rng.randint(first, last) for _ in range(SAMPLES))):
            wanted[at] = (at + offset) % (1 << 64)
    counts = {"equal": 0, "missing": 0, "unmapped": 0}
    asked = "".join(f"{at:x}\n" for at in wanted)
    for line in kscope("dump", "vtop", path, "-", *paging, stdin=asked).decode().splitlines():
        virt, phys = line.split()[:2]
        if phys in counts:
            counts[phys] += 1
        else:
            expect(f"{name}: {virt}", int(phys, 16), wanted[int(virt, 16)])
            counts["equal"] += 1
    # It takes some ranges from the kernel's version: not all of them need be mapped.
    expect(f"{name}: whether nothing is mapped", counts["unmapped"] > 0 and counts["equal"] == 0, False)
    return counts
