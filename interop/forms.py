#!/usr/bin/env python3
"""forms.py make|check: the small dump of testdata/forms in every container and codec.

`make` writes the forms from `small.elf`, itself cut from a whole dump (testdata/README.md): by makedumpfile what
Debian's can write, the rest by the packer below, which shares no code with the libraries. It needs makedumpfile, Debian's
python3-lzo, python3-snappy and python3-zstandard, and root (a file system to fill).

`check` reads all of them with libkdumpfile and compares every page with the ELF file.
"""

import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

FORMS = Path(__file__).resolve().parent.parent / "testdata" / "forms"
PAGE = 4096
STORED, ZLIB, LZO, SNAPPY, ZSTD = 0, 1, 2, 4, 0x20
INCOMPLETE = 8


# ---- the ELF file, read with nothing but `struct`


def elf(path):
    """Notes and pages {pfn: bytes} of a little-endian ELF64 core."""
    data = path.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    notes, pages = b"", {}
    for number in range(count):
        kind, _, offset, _, paddr, filesz, _, _ = struct.unpack_from("<IIQQQQQQ", data, table + 56 * number)
        if kind == 4:
            notes = data[offset : offset + filesz]
        elif kind == 1:
            for at in range(0, filesz, PAGE):
                pages[(paddr + at) // PAGE] = data[offset + at : offset + at + PAGE]
    return notes, pages


def vmcoreinfo(notes):
    """The text of the VMCOREINFO note."""
    at = 0
    while at < len(notes):
        namesz, descsz, _ = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + namesz]
        desc = at + 12 + (namesz + 3 & ~3)
        if name == b"VMCOREINFO\0":
            return notes[desc : desc + descsz]
        at = desc + (descsz + 3 & ~3)
    raise ValueError("no VMCOREINFO")


# ---- the packer: makedumpfile's IMPLEMENTATION and diskdump_mod.h


def compress(method, page):
    """As makedumpfile does: stored where compressing does not help."""
    if method == ZLIB:
        out = zlib.compress(page, 1)
    elif method == LZO:
        import lzo

        out = lzo.compress(page, 1, False)
    elif method == SNAPPY:
        import snappy

        out = snappy.compress(page)
    elif method == ZSTD:
        import zstandard

        out = zstandard.ZstdCompressor(level=1, write_checksum=False, write_content_size=True).compress(page)
    else:
        return STORED, page
    return (method, out) if len(out) < len(page) else (STORED, page)


def header(order, bits, machine, status, block, sub_blocks, bitmap_blocks, max_mapnr, ram):
    """struct disk_dump_header, version 6."""
    names = ["Linux", "small", "6.1.0-56-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian", machine, "(none)"]
    out = b"KDUMP   " + struct.pack(order + "i", 6)
    out += b"".join(name.encode().ljust(65, b"\0") for name in names)
    out = out.ljust(408 if bits == 64 else 404, b"\0")
    out += struct.pack(order + ("qq" if bits == 64 else "ii"), 1795391635, 0)
    small = min(max_mapnr, (1 << 32) - 1)
    out += struct.pack(order + "IiiIIIIIIi", status, block, sub_blocks, bitmap_blocks, small, ram, 0, 0, 0, 1)
    return out.ljust(block, b"\0")


def sub_header(order, layout, max_mapnr, notes_at, notes, info_at, info):
    """struct kdump_sub_header, version 6: "64", or "32" packed (i386) or "32a" with 64-bit members aligned (arm, ppc)."""
    words = "q" if layout == "64" else "i"
    gap = "4x" if layout == "32a" else ""
    layouts = f"{order}{words}ii{words}{words}{gap}Q{words}{gap}Q{words}{gap}Q{words}{gap}QQQ"
    values = (0, 1, 0, 0, 0, info_at, info, notes_at, notes, 0, 0, 0, 0, max_mapnr)
    packed = struct.pack(layouts, *values)
    assert len(packed) == {"64": 104, "32": 80, "32a": 96}[layout]
    return packed


def kdump(pages, notes, info, *, methods, order="<", layout="64", machine="x86_64", block=PAGE, excluded=(), lost=()):
    """A compressed dump. `excluded` frames are in the first bitmap only, the descriptors of `lost` ones are zero."""
    ram = sorted(set(pages) | set(excluded))
    dumped = sorted(set(pages) - set(excluded))
    max_mapnr = ram[-1] + 1
    size = {"64": 104, "32": 80, "32a": 96}[layout]
    notes_at = block + size
    info_at = notes_at + notes.index(info)
    sub_blocks = -(-(size + len(notes)) // block)
    bitmap_blocks = -(-((max_mapnr + 7) // 8) // block)
    status = (INCOMPLETE if lost else 0) | (methods[0] if len(methods) == 1 else 0)
    bits = 64 if layout == "64" else 32
    out = header(order, bits, machine, status, block, sub_blocks, 2 * bitmap_blocks, max_mapnr, len(ram))
    sub = sub_header(order, layout, max_mapnr, notes_at, len(notes), info_at, len(info)) + notes
    out += sub.ljust(sub_blocks * block, b"\0")
    for frames in (ram, dumped):
        bitmap = bytearray(bitmap_blocks * block)
        for frame in frames:
            bitmap[frame >> 3] |= 1 << (frame & 7)
        out += bitmap
    at = len(out) + 24 * len(dumped)
    # All zero pages share the first page of data.
    descriptors, data = b"", bytes(block)
    for number, frame in enumerate(dumped):
        page = pages[frame]
        if frame in lost:
            descriptors += bytes(24)
        elif not any(page):
            descriptors += struct.pack(order + "qIIQ", at, block, STORED, 0)
        else:
            method, packed = compress(methods[number % len(methods)], page)
            descriptors += struct.pack(order + "qIIQ", at + len(data), len(packed), method, 0)
            data += packed
    return out + descriptors + data


def blocks_of(pages, count):
    """Blocks of `count` pages; a page that is not there is zero."""
    out = {}
    for frame, page in pages.items():
        at = frame % count * PAGE
        block = out.setdefault(frame // count, bytearray(count * PAGE))
        block[at : at + PAGE] = page
    return {frame: bytes(block) for frame, block in out.items()}


def packed():
    """Everything the packer writes, by name."""
    notes, pages = elf(FORMS / "small.elf")
    info = vmcoreinfo(notes)
    low = {frame: page for frame, page in pages.items() if frame < 8 * PAGE}
    # The other notes are x86-64's registers.
    only_info, swapped = (struct.pack(order + "III", 11, len(info), 0) + b"VMCOREINFO\0\0" + info for order in "<>")
    frames = sorted(pages)
    yield "snappy", kdump(pages, notes, info, methods=[SNAPPY])
    yield "zstd", kdump(pages, notes, info, methods=[ZSTD])
    yield "mixed", kdump(
        pages, notes, info, methods=[STORED, ZLIB, LZO, SNAPPY, ZSTD], excluded=frames[5:9] + [frames[-1]]
    )
    yield "lost", kdump(low, notes, info, methods=[LZO], lost=sorted(low)[-5:])
    yield "64k", kdump(blocks_of(low, 16), only_info, info, methods=[ZSTD], block=65536, machine="aarch64")
    yield "be64", kdump(low, swapped, info, methods=[ZLIB], order=">", machine="ppc64")
    yield "be32", kdump(low, swapped, info, methods=[ZLIB], order=">", layout="32a", machine="ppc")
    yield "le32", kdump(low, only_info, info, methods=[LZO], layout="32", machine="i686")
    yield "arm32", kdump(low, only_info, info, methods=[LZO], layout="32a", machine="armv7l")


# ---- makedumpfile


def makedumpfile(*arguments, stdout=subprocess.DEVNULL, status=0):
    command = ["makedumpfile", *map(str, arguments)]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    if done.returncode != status:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr.decode()}")


def filtered(work):
    small = FORMS / "small.elf"
    for name, *options in [
        ("zlib", "-c", "-d", "1"),
        ("lzo", "-l", "-d", "0"),
        ("stored", "-d", "0"),
        ("elf", "-E", "-d", "1"),
    ]:
        makedumpfile(*options, small, work / name)
    for name, *options in [("lzo.flat", "-l", "-d", "0"), ("elf.flat", "-E", "-d", "1")]:
        with open(work / name, "wb") as file:
            makedumpfile("-F", *options, small, stdout=file)
    makedumpfile("--split", "-l", "-d", "0", small, *(work / f"lzo.part{part}" for part in (1, 2, 3)))
    # What a full file system leaves.
    with tempfile.TemporaryDirectory() as full:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", full], check=True)
        try:
            makedumpfile("-l", "-d", "0", small, f"{full}/dump", status=1)
            (work / "incomplete").write_bytes(Path(full, "dump").read_bytes())
        finally:
            subprocess.run(["umount", full], check=True)


def make():
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        filtered(work)
        for name, data in packed():
            (work / name).write_bytes(data)
        for path in sorted(work.iterdir()):
            (FORMS / path.name).write_bytes(path.read_bytes())
    _, pages = elf(FORMS / "small.elf")
    rows = (f"{frame}\t{zlib.crc32(page):08x}\n" for frame, page in sorted(pages.items()))
    (FORMS / "pages.tsv").write_text("".join(rows))


# ---- libkdumpfile, through kdpeer

# What libkdumpfile 0.5.1 does not read, and why.
UNREAD = {
    "64k": "it takes PAGESIZE of VMCOREINFO for the size of a block, in QEMU's dumps, too",
    "arm32": "it takes the aligned sub header for a packed one",
    "be32": "it takes the aligned sub header for a packed one",
}


def check():
    kdpeer = os.environ["KDPEER"]
    _, pages = elf(FORMS / "small.elf")
    crc = {frame: f"{zlib.crc32(page):08x}" for frame, page in pages.items()}
    rows = "".join(f"{frame}\t{crc[frame]}\n" for frame in sorted(crc))
    if (FORMS / "pages.tsv").read_text() != rows:
        sys.exit("pages.tsv is not what small.elf holds")
    asked = "".join(f"{frame * PAGE:x} {PAGE:x}\n" for frame in sorted(pages))
    with tempfile.TemporaryDirectory() as work:
        for path in sorted(FORMS.iterdir()):
            name, dump = path.name, path
            if name == "pages.tsv":
                continue
            if name in UNREAD:
                print(f"{name}: libkdumpfile does not read it: {UNREAD[name]}")
                continue
            if path.suffix == ".flat":
                # 0.5.1 reads no flattened dumps.
                dump = Path(work, name)
                subprocess.run(["makedumpfile", "-R", dump], stdin=open(path, "rb"), stdout=subprocess.DEVNULL, check=True)
            done = subprocess.run([kdpeer, dump, "read"], input=asked, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"{name}: {done.stderr}")
            answers = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
            read = {int(at, 16) // PAGE: words[0] for at, *words in answers if words[0] != "-"}
            wrong = [frame for frame in read if read[frame] != crc[frame]]
            reasons = sorted({words[1] for _, *words in answers if words[0] == "-"})
            print(f"{name}: {len(read) - len(wrong)} pages equal, {len(wrong)} not, {len(pages) - len(read)} absent {reasons}")
            if wrong and name != "incomplete":
                sys.exit(1)


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]]()
