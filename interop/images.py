#!/usr/bin/env python3
"""uImages against mkimage, x86 kernels against file and the decompressors of Debian.

Arguments: bzImages; each is shown and unpacked. Kernels of every compression are made of the first one besides.
"""

import itertools
import os
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
        sys.exit(f"{what}: {len(ours)} bytes {ours[:80]!r} differ from {len(theirs)} bytes {theirs[:80]!r}")


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


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        uimages(work)
        found = [kernel(Path(path)) for path in sys.argv[1:]]
        # A few megabytes of a real kernel: the slowest compressor takes a second for each.
        repacked(work, found[0][0x200000:0x600000] if found else Path(KSCOPE).read_bytes()[:1 << 22])


main()
