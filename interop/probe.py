#!/usr/bin/env python3
"""Which loader takes a file: `bootimg::detect::probe`, by its example, beside kexec-tools' own probes.

Arguments: bzImages, whose payload is looked at, too, and folders with unpacked packages, every file of which is looked at. Then
ELF files, multiboot kernels and bzImages made here, with one to three of their fields changed.

kexec is asked as nobody, and for a type that none of the files has: it then says which type it found and loads nothing.
"""

import collections
import gzip
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBE, KSCOPE = os.environ["PROBE"], os.environ["KSCOPE"]
KEXEC = shutil.which("kexec", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set -all".split() if os.geteuid() == 0 else []
CASES = 4000
DIED = "died"


def theirs(path):
    done = subprocess.run(
        [*NOBODY, KEXEC, "-c", "-t", "nbi-x86", "-l", str(path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60,
    )
    said = done.stdout.decode(errors="replace")
    if done.returncode < 0:
        return DIED
    if "Cannot determine the file type" in said:
        return "none"
    _, found, loader = said.partition("file matches type ")
    if not found:
        sys.exit(f"kexec of {path}: {said}")
    return loader.split()[0]


def compare(what, paths):
    """The loader of each file; where kexec dies of a file, it must be none."""
    ours = subprocess.run([PROBE, "x86_64", *map(str, paths)], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    counts = collections.Counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, line, told in zip(paths, ours, pool.map(theirs, paths), strict=True):
            loader = line.split(";")[0]
            if loader != (told if told != DIED else "none"):
                kept = shutil.copy(path, tempfile.gettempdir())
                sys.exit(f"{path}: {line}\nand kexec: {told}; the file: {kept}")
            counts[told] += 1
    print(f"{what}: {', '.join(f'{count} {loader}' for loader, count in counts.most_common())}")
    return counts


# ---- files made here: (bytes, ranges of bytes worth a change)


def elf(wide, order, machine, kind=2):
    """A kernel with a segment of each kind, sections, notes, and room for multiboot headers from 0x300 on."""
    size = (64, 56, 64) if wide else (52, 32, 40)
    word = "Q" if wide else "I"
    pack = lambda layout, *values: struct.pack(order + layout.replace("W", word), *values)
    note = pack("3I", 4, 5, 1) + b"GNU\0" + bytes(8)
    load, notes, symbols = (0x280, 0x40), (0x200, len(note)), (0x300, 0)
    segments = b""
    for type_, (offset, length) in ((1, load), (4, notes), (0x6474E551, symbols)):
        flags = (5,)
        head, tail = (flags, ()) if wide else ((), flags)
        segments += pack("I" + "I" * len(head) + "5W" + "I" * len(tail) + "W",
                         type_, *head, offset, 0x100000, 0x100000, length, length, *tail, 0)
    sections = b""
    for type_, (offset, length), entry in ((0, (0, 0), 0), (2, symbols, 24 if wide else 16), (7, notes, 0), (8, (0x500, 0x99), 0)):
        sections += pack("2I4W2I2W", 0, type_, 0, 0, offset, length, 0, 0, 0, entry)
    header = b"\x7fELF" + bytes([1 + wide, 1 + (order == ">"), 1]) + bytes(9)
    header += pack("2HI3WI6H", kind, machine, 1, 0x100000, size[0], 0x100, 0, size[0], size[1], 3, size[2], 4, 0)
    out = bytearray(0x400)
    for at, part in ((0, header), (size[0], segments), (0x100, sections), (0x200, note)):
        out[at:at + len(part)] = part
    tables = range(size[0], size[0] + len(segments)), range(0x100, 0x100 + len(sections))
    return out, [range(4, size[0]), *tables, *tables, range(0x200, 0x200 + len(note))]


def with_words(made, at, *words):
    """The same with a header of these words, and their checksum as the last."""
    out, places = made
    words = *words, -sum(words) & 0xFFFFFFFF
    out = bytearray(out)
    struct.pack_into(f"<{len(words)}I", out, at, *words)
    return out, [*places, range(at, at + 4 * len(words))]


def flat():
    """A multiboot kernel that is no ELF file."""
    out, _ = with_words((bytearray(0x1040), []), 0x40, 0x1BADB002, 0x10003)
    struct.pack_into("<5I", out, 0x4C, 0x100000, 0x100000, 0x101000, 0x102000, 0x100040)
    return out, [range(0x40, 0x60)]


def bzimage(start):
    return bytearray(start[:2048]), [range(0x1F0, 0x214), range(0x206, 0x208), range(0x234, 0x238)]


def sources():
    for machine in (3, 62):
        for wide, order in ((True, "<"), (False, "<"), (False, ">"), (True, ">")):
            made = elf(wide, order, machine)
            yield made
            yield with_words(made, 0x340, 0x1BADB002, 3)
            yield with_words(made, 0x340, 0xE85250D6, 0, 16)
    yield flat()
    images = ROOT / "bootimg" / "testdata"
    for path in (images / "memdisk", *sorted((images / "kernel").glob("vmlinuz*"))):
        yield bzimage(path.read_bytes())


def changed(chance, made):
    out, places = bytearray(made[0]), made[1]
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        at = chance.choice(chance.choice(places))
        width = chance.choice((1, 2, 4, 4, 8, 8))
        at -= at % width
        now = int.from_bytes(out[at:at + width], "little")
        top = (1 << 8 * width) - 1
        edges = (0, 1, 2, 3, 4, 6, 7, 8, 62, top, top - 4, top - len(out), len(out), len(out) - 1, len(out) + 1, now + 1, now - 1)
        out[at:at + width] = (chance.choice((*edges, now ^ 1 << chance.randrange(8 * width))) & top).to_bytes(width, "little")
    if chance.random() < 0.1:
        del out[chance.randrange(1, len(out)):]
    return bytes(out)


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        work.chmod(0o755)
        paths = [Path("/bin/ls"), *sorted(path for path in (ROOT / "bootimg" / "testdata").rglob("*") if path.is_file())]
        for given in map(Path, sys.argv[1:]):
            if given.is_dir():
                paths += sorted(path for path in given.rglob("*") if path.is_file() and not path.is_symlink())
                continue
            payload = work / f"{given.name}-payload"
            subprocess.run([KSCOPE, "image", "extract", given, "payload", "--decompress", "-o", payload], check=True)
            paths += [given, payload]
        real = []
        for number, path in enumerate(paths):
            data = path.read_bytes()
            # As kexec does. It unpacks lzma, too, but none of these files is that.
            if data.startswith(b"\x1f\x8b"):
                data = gzip.decompress(data)
            # Of an empty file it says that it cannot be read.
            if data:
                real.append(work / f"{number}-{path.name}")
                real[-1].write_bytes(data)
        counts = compare("real files", real)
        if sys.argv[1:] and not {"multiboot2-x86", "elf-x86_64", "bzImage64", "bzImage", "none"} <= counts.keys():
            sys.exit("not every loader was met")

        chance = random.Random(2025)
        kinds = list(sources())
        made = []
        for number in range(CASES):
            made.append(work / f"made{number}")
            made[-1].write_bytes(changed(chance, kinds[number % len(kinds)]))
        compare("changed files", made)


main()
