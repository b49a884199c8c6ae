#!/usr/bin/env python3
"""uImages against mkimage, x86 kernels against file and the decompressors of Debian, whole packages against all of them.

Arguments: bzImages, each of which is shown and unpacked, and folders with unpacked packages, every file of which is shown.
Kernels of every compression are made of the first one besides.
"""

import collections
import itertools
import json
import os
import re
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

KSCOPE = os.environ["KSCOPE"]
HEAD = Path(__file__).resolve().parent.parent / "bootimg/testdata/kernel/vmlinuz-6.12.107+deb12-cloud-amd64.head"
ARCHES = "alpha arc arm arm64 avr32 blackfin ia64 m68k microblaze mips mips64 nds32 nios2 or1k powerpc ppc riscv s390 " \
    "sandbox sh sparc sparc64 x86 x86_64 xtensa".split()
# Without tee: of OP-TEE mkimage takes both addresses from the data, not from the command line.
SYSTEMS = "4_4bsd arm-trusted-firmware dell efi esix freebsd integrity irix linux ncr netbsd openbsd openrtos opensbi ose " \
    "plan9 psos qnx rtems sco solaris svr4 u-boot vxworks".split()
TYPES = "standalone kernel ramdisk multi firmware script filesystem kernel_noload".split()
COMPRESSIONS = "none gzip bzip2 lzma lzo lz4 zstd".split()
# As kernels are compressed, and who undoes it.
COMPRESSORS = {
    "gzip": ("gzip -n -9", "zcat"),
    "bzip2": ("bzip2 -9", "bzcat"),
    "xz": ("xz --check=crc32 --x86 --lzma2=dict=32MiB", "xzcat"),
    "lzma": ("lzma -9", "lzma -dc"),
    "lzo": ("lzop -9", "lzop -dc"),
    "lz4": ("lz4 -l -9", "lz4 -dc"),
    "zstd": ("zstd -q -22 --ultra", "zstd -dc"),
}
ENVIRONMENT = dict(os.environ, SOURCE_DATE_EPOCH="1700000000", TZ="UTC")


def run(*command, data=None):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, env=ENVIRONMENT).stdout


def same(what, ours, theirs):
    if ours != theirs:
        size = f"{len(ours)} and {len(theirs)} bytes: " if isinstance(ours, bytes) else ""
        sys.exit(f"{what}: {size}{str(ours)[:200]} differs from {str(theirs)[:200]}")


def uimages(work):
    chance = random.Random(7)
    files = []
    for number in range(4):
        files.append(work / f"part{number}")
        files[-1].write_bytes(chance.randbytes(chance.randrange(1, 5000)))
    made = 0
    for number, (arch, kind) in enumerate(itertools.product(ARCHES, TYPES)):
        several = chance.sample(files, chance.randrange(1, 5)) if kind == "multi" else chance.sample(files, 1)
        letters = [
            "-A", arch, "-T", kind, "-O", SYSTEMS[number % len(SYSTEMS)], "-C", COMPRESSIONS[number % len(COMPRESSIONS)],
            "-a", f"{chance.randrange(1 << 32):x}", "-e", f"{chance.randrange(1 << 32):x}",
            "-n", "x" * chance.randrange(40), "-d", ":".join(map(str, several)),
        ]
        run("mkimage", *letters, str(work / "theirs"))
        run(KSCOPE, "image", "pack", "uimage", *letters, str(work / "ours"))
        same(" ".join(letters), (work / "ours").read_bytes(), (work / "theirs").read_bytes())
        same(f"mkimage -l: {letters}", run(KSCOPE, "image", str(work / "ours")), run("mkimage", "-l", str(work / "ours")))
        made += 1
    print(f"uImages: {made} made as mkimage makes them and listed as it lists them")


def unpacked(kernel):
    return run(KSCOPE, "image", "extract", str(kernel), "payload", "--decompress", "-o", "-")


def kernel(path):
    """A kernel's line by file; its payload, found by hand and unpacked by another tool."""
    same(f"file -b {path}", run(KSCOPE, "image", str(path)).splitlines()[0], run("file", "-b", str(path)).rstrip(b"\n"))
    image = path.read_bytes()
    start = (image[0x1F1] + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset:][:length - 4]
    tool = {b"\xfd7": "xz -dc --single-stream", b"\x02\x21": "lz4 -dc", b"\x28\xb5": "zstd -dc", b"\x1f\x8b": "zcat"}[payload[:2]]
    ours = unpacked(path)
    same(f"{tool} of {path}", ours, run(*tool.split(), data=payload))
    print(f"{path.name}: {len(ours)} bytes by {tool}")
    return ours


def repacked(work, vmlinux):
    """The head of a real kernel with payloads of every compression."""
    head = bytearray(HEAD.read_bytes()).ljust(20480 + 0x2CC, b"\0")
    # Neither kernel_info nor code beside the payload.
    struct.pack_into("<I", head, 0x268, 0)
    struct.pack_into("<I", head, 0x1F4, 1)
    for name, (pack, unpack) in COMPRESSORS.items():
        payload = run(*pack.split(), data=vmlinux)
        if name != "gzip":
            payload += struct.pack("<I", len(vmlinux))
        struct.pack_into("<I", head, 0x24C, len(payload))
        (work / "kernel").write_bytes(head + payload)
        theirs = run(*unpack.split(), data=payload if name == "gzip" else payload[:-4])
        same(name, unpacked(work / "kernel"), theirs)
        same(name, theirs, vmlinux)
    print(f"payloads: {len(vmlinux)} bytes by {', '.join(COMPRESSORS)}")


# Setup header, since which protocol, and struct format of what kscope shows of it.
FIELDS = {
    "setup_sects": (0x1F1, 0x200, "B"), "kernel_alignment": (0x230, 0x205, "<I"), "cmdline_size": (0x238, 0x206, "<I"),
    "init_size": (0x260, 0x20A, "<I"), "pref_address": (0x258, 0x20A, "<Q"), "initrd_addr_max": (0x22C, 0x203, "<I"),
    "handover_offset": (0x264, 0x20B, "<I"),
}
SEGMENT = re.compile(r"^  \S+(?: \S+)? +0x(\w+) 0x(\w+) 0x(\w+) 0x(\w+) 0x(\w+) ", re.M)


def number(value):
    return int(value, 16) if isinstance(value, str) else value


def setup_header(path, found):
    """What kscope says of a setup header, and what is there."""
    image = path.read_bytes()
    version, = struct.unpack_from("<H", image, 0x206)
    same(f"{path}: protocol", found["protocol"], f"{version >> 8}.{version & 0xff:02}")
    end = 0x202 + image[0x201]
    for name, (at, since, form) in FIELDS.items():
        if version >= since and at + struct.calcsize(form) <= end:
            same(f"{path}: {name}", [number(found[name])], list(struct.unpack_from(form, image, at)))


def elf(path, found):
    text = run("readelf", "-hW", str(path)).decode()
    # Which of the two it is, readelf learns from the dynamic section: no part of the header.
    text = text.replace("DYN (Position-Independent Executable file)", "DYN (Shared object file)")
    same(f"{path}: readelf -h", run(KSCOPE, "image", str(path)).decode()[: len(text)], text)
    header = dict(line.strip().split(":", 1) for line in text.splitlines() if ":" in line)
    same(f"{path}: class", found["class"], header["Class"].strip())
    same(f"{path}: machine", found["machine"], header["Machine"].strip())
    same(f"{path}: type", found["type"], header["Type"].split()[0])
    same(f"{path}: entry", found["entry"], header["Entry point address"].strip())
    rows = [[int(column, 16) for column in row] for row in SEGMENT.findall(run("readelf", "-lW", str(path)).decode())]
    keys = ("offset", "vaddr", "paddr", "filesz", "memsz")
    same(f"{path}: segments", [[number(segment[key]) for key in keys] for segment in found["segments"]], rows)


def package_file(path):
    """What kind of file it is by `file`; kscope must say the same, and what its own tool says."""
    kind = run("file", "-b", str(path)).decode().rstrip("\n")
    shown = subprocess.run([KSCOPE, "image", "--json", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    found = json.loads(shown.stdout) if shown.returncode == 0 else {"format": None}
    if kind.startswith("Linux kernel x86"):
        same(f"{path}: format", found["format"], "bzimage")
        same(f"{path}: file", run(KSCOPE, "image", str(path)).splitlines()[0].decode(), kind)
        setup_header(path, found)
        return "bzimage"
    if kind.startswith("ELF") and "relocatable" not in kind:
        same(f"{path}: format", found["format"], "elf")
        elf(path, found)
        return "elf"
    if kind.startswith("u-boot legacy"):
        same(f"{path}: mkimage -l", run(KSCOPE, "image", str(path)), run("mkimage", "-l", str(path)))
        return "uimage"
    for name, (_, unpack) in COMPRESSORS.items():
        if kind.lower().startswith(f"{name} compressed"):
            same(f"{path}: format", found["format"], name)
            run(KSCOPE, "image", "--verify", str(path))
            same(f"{path}: {unpack}", unpacked(path), run(*unpack.split(), data=path.read_bytes()))
            return name
    # Objects of a linker, PE, file systems, ROMs and data.
    if found["format"] is not None:
        sys.exit(f"{path}: {found['format']}, and {kind} by file")
    same(f"{path}: status", shown.returncode, 1)
    return "none of these"


def packages(folder):
    kinds = collections.Counter()
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file() and not path.is_symlink() and "doc" not in path.parts:
            kinds[package_file(path)] += 1
    print(f"{folder}: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        uimages(work)
        given = [Path(path) for path in sys.argv[1:]]
        for path in filter(Path.is_dir, given):
            packages(path)
        found = [kernel(path) for path in given if not path.is_dir()]
        # A few megabytes of a real kernel: the slowest compressor takes a second for each.
        repacked(work, found[0][0x200000:0x600000] if found else Path(KSCOPE).read_bytes()[:1 << 22])


main()
