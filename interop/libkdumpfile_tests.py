#!/usr/bin/env python3
"""libkdumpfile_tests.py TREE: libkdumpfile's own tests, unchanged, with our programs in the place of those that read.

TREE is its source, of which nothing is kept. What writes the dumps, `mkelf` and the like, is built from it; `dumpdata`, `checkattr`,
`multiread` and `addrxlat` are links to `kdumpfile_shims`. Every test that its Makefile.am names passes, or is below with why not.
"""

import collections
import os
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import libkdumpfile_tables
import peers

SHIMS = os.environ["KDUMPFILE_SHIMS"]
READERS = ("addrxlat", "checkattr", "dumpdata", "multiread")
WRITERS = ("mkbinary", "mkdiskdump", "mkelf", "mklkcd", "mksadump")
LIMIT_SECONDS = 60

# Tests of what we do not have, and why.
ELSEWHERE = [
    ("addrmap-*", "the C type of libkdumpfile's maps of addresses"),
    ("addrxlat-null addrxlat-identity addrxlat-linear addrxlat-table addrxlat-memarr", "translates without page tables"),
    ("addrxlat-pfn* addrxlat-invalid-pfn*", "page tables of no machine"),
    ("addrxlat-arm-* addrxlat-ppc64-*", "page tables that are not walked here: 32-bit ARM's, and those that ppc64 has for hashing"),
    ("early-version-code sys-xlat-* xlatmap-check", "by which methods libkdumpfile translates"),
    ("xlat-*", "by which methods libkdumpfile translates; what tables it finds is compared below"),
    ("multixlat-*", "two translations set in copies of one C object"),
    ("elf-dom0-no-phys_base", "Xen's map from pseudo-physical to machine frames"),
    ("attriter clearattr custom-meth elf-prstatus-mod-x86_64", "a C program about functions of libkdumpfile"),
    ("err-addrxlat fdset nometh subattr thread-errstr typed-attr", "a C program about functions of libkdumpfile"),
    ("vmci-* xlatop", "a C program about functions of libkdumpfile"),
]
# Dumps that are recognised and not read yet: these tests fail, and it must be said so.
NOT_READ = [
    ("lkcd-*", "an LKCD dump"),
    ("sadump-*", "an sadump dump"),
    ("elf-xen_prstatus", "a Xen dump-core file"),
]
# What is not as machines and kernels have it: why, and all that ours says.
NO_SUB_HEADER = "sub_hdr_size is 0, and phys_base, which is in the sub header, is asked for"
NO_PHYS_BASE = "linux.phys_base: Some(Address(0)), not address: 0x3C0000"
IMPOSSIBLE = {
    "addrxlat-ia32-pae": ("a PAE root entry sets bits that must be 0", r"virtual address 0x\w+: pgd at 0x\w+ sets reserved bits \(0x\w+\)"),
    "addrxlat-x86_64-5l": ("a page of 512 GiB", r"virtual address 0xff1123456789abcd: p4d at 0x8230 sets reserved bits \(0xc0e7\)"),
    "diskdump-empty-i386": (NO_SUB_HEADER, re.escape(NO_PHYS_BASE)),
    "diskdump-empty-ppc64": (NO_SUB_HEADER, re.escape(NO_PHYS_BASE)),
    "diskdump-empty-s390x": (
        "the same, and s390x has no pages of 64 KiB",
        r"arch.page_(shift: .*16|size: .*65536)|" + re.escape(NO_PHYS_BASE),
    ),
    "diskdump-empty-x86_64": (NO_SUB_HEADER, re.escape(NO_PHYS_BASE)),
    "elf-prstatus-x86_64": (
        "a register is changed in the opened dump, once all were read, which they were",
        r".*elf-prstatus-mod-x86_64: not found|Attribute modification check failed",
    ),
    "elf-empty-i386": ("ELF32 with program headers as long as ELF64's", r"file 0: offset 0x2a: e_phentsize is 0x38, .*"),
    "elf-empty-s390": ("ELF32 with program headers as long as ELF64's", r"file 0: offset 0x2a: e_phentsize is 0x38, .*"),
}


def listed(makefile):
    """The tests that `make check` runs."""
    names = []
    for variable in ("test_scripts", "TESTS"):
        for body in re.findall(rf"^{variable} \+?=((?:.*\\\n)*.*)$", makefile, flags=re.MULTILINE):
            names += [word for word in body.replace("\\\n", " ").split() if not word.startswith("$")]
    return names


def build(tests, work):
    """A copy of the tests with what they call: writers compiled from the tree, readers ours."""
    shutil.copytree(tests, work, dirs_exist_ok=True)
    # The parts of a split dump are of the same time, or they are not of the same dump (makedumpfile, `store_splitting_info`).
    (work / "config.h").write_text("#define gettimeofday(now, zone) ((now)->tv_sec = 1, (now)->tv_usec = 0)\n")
    common = [f"{name}.c" for name in ("data", "param", "rle", "slurp")]
    uses = [f"-DUSE_{codec}=1" for codec in ("ZLIB", "LZO", "SNAPPY", "ZSTD")]
    libraries = ["-lz", "-llzo2", "-lsnappy", "-lzstd"]
    for name in WRITERS:
        command = ["cc", "-O1", "-w", "-D_GNU_SOURCE", *uses, "-I.", "-o", name, f"{name}.c"]
        subprocess.run([*command, *common, *libraries], cwd=work, check=True)
    for name in READERS:
        (work / name).symlink_to(SHIMS)


def run(name, work):
    """Exit status and everything a script says."""
    environment = {**os.environ, "srcdir": ".", "SIZEOF_OFF_T": "8"}
    try:
        done = subprocess.run(
            [f"./{name}"], cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, f"not done after {LIMIT_SECONDS} seconds"
    return done.returncode, done.stdout.decode(errors="replace")


def text_for(table, name):
    return next((text for patterns, text in table if any(fnmatch(name, pattern) for pattern in patterns.split())), None)


def says_only(wanted, said):
    """Whether all that our program says is of that kind; the other lines are the script's own."""
    own = re.compile(r"(Checking \S+ *(OK)?|FAILED|OK|Creat(ed|ing) .*|Attribute check failed|)")
    lines = [re.sub(r"^Checking \S+ ", "", line) for line in said.splitlines() if not own.fullmatch(line)]
    return bool(lines) and all(re.fullmatch(wanted, line) for line in lines)


def tables(tests, names, path):
    """Kernels' tables of the tests whose own question is none to us."""
    kernels = [name for name in names if fnmatch(name, "xlat-linux-*")]
    found = list(filter(None, (libkdumpfile_tables.check(tests, name, path) for name in kernels)))
    counts = sum(map(collections.Counter, found), collections.Counter())
    peers.expect("whether any address is compared", counts["equal"] > 0, True)
    print(
        f"page tables of {len(found)} of those {len(kernels)} kernels: {counts['equal']} addresses are where libkdumpfile has them, "
        f"{counts['missing']} need tables that a test leaves out, {counts['unmapped']} are not mapped"
    )


def verdict(name, work):
    """What becomes of a test: the group it belongs to, and why; what it says if it fails."""
    if why := text_for(ELSEWHERE, name):
        return ("no question to us", why), ""
    status, said = run(name, work)
    if kind := text_for(NOT_READ, name):
        return ("recognised and not read yet" if status and kind in said else "FAIL", kind), said
    if name in IMPOSSIBLE:
        why, words = IMPOSSIBLE[name]
        return ("refused, and rightly" if status and says_only(words, said) else "FAIL", why), said
    return ("FAIL", f"exit status {status}") if status else ("pass", "as they are"), said


def scripts(tests, names, work):
    """Runs them all; whether as many pass as should."""
    build(tests, work)
    groups = collections.defaultdict(lambda: collections.defaultdict(list))
    for name in names:
        (group, why), said = verdict(name, work)
        groups[group][why].append(name)
        if group == "FAIL":
            print(f"{name}: {why}\n{said}", file=sys.stderr)
    for group, reasons in groups.items():
        for why, those in reasons.items():
            print(f"{group}, {why}: {len(those)}\n  {' '.join(those)}")
    counts = {group: sum(map(len, reasons.values())) for group, reasons in groups.items()}
    others = "; ".join(f"{count}: {group}" for group, count in counts.items() if group != "pass")
    print(f"{counts.get('pass', 0)} of libkdumpfile's {len(names)} tests pass; {others}")
    return "FAIL" not in groups and "pass" in groups


def main():
    tests = Path(sys.argv[1]).resolve() / "tests"
    names = listed((tests / "Makefile.am").read_text())
    with tempfile.TemporaryDirectory() as work:
        is_good = scripts(tests, names, Path(work))
        tables(tests, names, Path(work) / "core")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
