"""The other tools, each asked by its own command line, and our command beside them.

Every `check_*` compares one answer of `kscope dump` with a peer's and raises `Differs`; it prints what it compared.
"""

import json
import os
import re
import struct
import subprocess
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = 4096
# Built by `interop/run`.
KSCOPE = os.environ["KSCOPE"]
KDPEER = os.environ["KDPEER"]


class Differs(Exception):
    """Our answer is not the peer's."""


def run(*command, stdin=None):
    """The standard output of a command that must succeed, as bytes."""
    command = [str(word) for word in command]
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(command, input=data or b"", capture_output=True, check=False)
    if done.returncode != 0:
        raise Differs(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr.decode()}")
    return done.stdout


def complaints(*command):
    """What a command that must succeed writes to standard error."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    return done.stderr


def kscope(*arguments, stdin=None):
    return run(KSCOPE, *arguments, stdin=stdin)


def kdpeer(dump, command, stdin=None):
    """Our small C program over libkdumpfile."""
    return run(KDPEER, dump, command, stdin=stdin).decode()


def expect(what, ours, theirs):
    """Equal, or an error that shows the first difference."""
    if ours == theirs:
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys(), key=str):
            if ours.get(key) != theirs.get(key):
                shown = f"{key:#x}" if isinstance(key, int) else key
                raise Differs(f"{what}: {shown}: kscope {ours.get(key)!r}, the peer {theirs.get(key)!r}")
    if isinstance(ours, list) and isinstance(theirs, list):
        for index, (a, b) in enumerate(zip(ours, theirs)):
            if a != b:
                raise Differs(f"{what}: number {index}: kscope {a!r}, the peer {b!r}")
        raise Differs(f"{what}: kscope has {len(ours)}, the peer {len(theirs)}")
    raise Differs(f"{what}: kscope {ours!r}, the peer {theirs!r}")


def merged(ranges):
    """Half-open ranges, sorted, overlapping and touching ones made one."""
    out = []
    for start, end in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        elif end > start:
            out.append((start, end))
    return out


# ---- readelf (binutils) and eu-readelf (elfutils)


def segments(dump):
    """`readelf -lW`: one dict a program header."""
    row = re.compile(r"^ +([A-Z_]+) +" + r"(0x[0-9a-f]+) +" * 5 + r"([RWE ]{3}) +(?:0x)?([0-9a-f]+)$")
    out = []
    for line in run("readelf", "-lW", dump).decode().splitlines():
        if found := row.match(line):
            names = ("offset", "vaddr", "paddr", "filesz", "memsz")
            numbers = (int(text, 16) for text in found.groups()[1:6])
            out.append({"type": found[1], **dict(zip(names, numbers)), "flags": found[7].strip()})
    return out


def loads(dump):
    return [segment for segment in segments(dump) if segment["type"] == "LOAD"]


def stored(dump):
    """The physical ranges whose bytes are in the file."""
    return merged((s["paddr"], s["paddr"] + s["filesz"]) for s in loads(dump))


def notes(dump):
    """`readelf -nW`: name and size of each note, in order."""
    row = re.compile(r"^  (\S+) +0x([0-9a-f]{8})\t")
    found = (row.match(line) for line in run("readelf", "-nW", dump).decode().splitlines())
    return [(note[1], int(note[2], 16)) for note in found if note]


def note_bytes(dump):
    """Name and descriptor of each note where `readelf -l` finds them, by the four lines that this format takes."""
    [place] = [segment for segment in segments(dump) if segment["type"] == "NOTE"]
    with open(dump, "rb") as file:
        file.seek(place["offset"])
        rest = file.read(place["filesz"])
    out = []
    while rest:
        name_size, size, _ = struct.unpack_from("<3I", rest)
        start = 12 + -(-name_size // 4) * 4
        out.append((rest[12 : 12 + name_size].rstrip(b"\0").decode(), rest[start : start + size]))
        rest = rest[start + -(-size // 4) * 4 :]
    return out


def processors(dump):
    """`eu-readelf -n`: process id and registers of each NT_PRSTATUS, named as in the kernel's user_regs_struct."""
    # The lines of one note, each more deeply indented than the line that names it.
    blocks = re.split(r"^  (?=\S)", run("eu-readelf", "-n", dump).decode(), flags=re.MULTILINE)
    row = re.compile(r"\b([a-z][a-z0-9_.]*): +(0x[0-9a-f]+|-?\d+)")
    out = []
    for block in blocks:
        if re.match(r"CORE +\d+ +PRSTATUS", block):
            registers = {name.replace(".", "_"): int(value, 0) % (1 << 64) for name, value in row.findall(block[block.index("orig_rax") :])}
            registers.pop("fpvalid")
            registers["eflags"] = registers.pop("rflags")
            out.append({"pid": int(re.search(r" pid: (\d+)", block)[1]), **registers})
    return out


def gdb(core, *commands):
    """What gdb, without a program, prints when it opens a core and obeys."""
    words = [word for command in commands for word in ("-ex", command)]
    return run("gdb", "-nx", "-batch", *words, "-c", core).decode()


def check_segments(info, dump):
    """Each program header, field by field."""
    letters = (("R", 4), ("W", 2), ("E", 1))
    theirs = [{**s, "flags": sum(bit for letter, bit in letters if letter in s["flags"])} for s in segments(dump)]
    ours = [{name: value if name == "type" else number(value) for name, value in s.items()} for s in info["segments"]]
    expect("segments", ours, theirs)


def number(value):
    """Addresses and flag words are hexadecimal strings in our JSON, counts are integers."""
    return int(value, 16) if isinstance(value, str) else value


def check_info(dump, theirs=None):
    """Ranges and notes against readelf; registers against `theirs`, or eu-readelf."""
    info = json.loads(kscope("dump", "info", "--json", dump))
    expect("format", info["format"], "elf")
    expect("page size", info["page_size"], PAGE)
    check_segments(info, dump)
    ours = merged((int(r["start"], 16), int(r["last"], 16) + 1) for r in info["ranges"])
    expect("ranges", ours, merged((s["paddr"], s["paddr"] + s["memsz"]) for s in loads(dump)))
    expect("notes", [(n["name"], n["size"]) for n in info["notes"]], notes(dump))
    theirs = processors(dump) if theirs is None else theirs
    expect("processors", len(info["cpus"]), len(theirs))
    registers = 0
    for index, (cpu, peer) in enumerate(zip(info["cpus"], theirs)):
        expect(f"processor {index}: pid", cpu["pid"], peer["pid"])
        named = {name: int(value, 16) for name, value in cpu["registers"].items()}
        wanted = {name: value for name, value in peer.items() if name != "pid"}
        expect(f"processor {index}: registers", {name: named.get(name) for name in wanted}, wanted)
        registers += len(wanted)
    print(f"  info: {len(ours)} ranges, {len(info['notes'])} notes, {registers} registers of {len(theirs)} processors")


# ---- libkdumpfile


def check_vmcoreinfo(dump):
    """The note's text, byte for byte."""
    theirs = kdpeer(dump, "vmcoreinfo").splitlines()
    expect("vmcoreinfo", kscope("dump", "vmcoreinfo", dump).decode().splitlines(), theirs)
    print(f"  vmcoreinfo: {len(theirs)} lines as libkdumpfile has them")


def mappings(dump, *options):
    """`kscope dump mappings`: (virtual, physical, length, page size, flags) of each extent."""
    return extents(kscope("dump", "mappings", dump, *options).decode())


def partial_mappings(dump):
    """The same of a dump that lacks some tables: the extents, and the addresses that are said to need a table that is not there."""
    done = subprocess.run([KSCOPE, "dump", "mappings", dump], capture_output=True, text=True, check=False)
    missing = [int(at, 16) for at in re.findall(r"virtual address (0x[0-9a-f]+): .* cannot be read", done.stderr)]
    expect("mappings: exit status", done.returncode, 1 if missing else 0)
    expect("mappings: lines of complaint", len(done.stderr.splitlines()), len(missing))
    return extents(done.stdout), missing


def extents(text):
    return [tuple(int(word, 16) for word in line.split()) for line in text.splitlines()]


def vtop(dump, addresses, *options):
    """`kscope dump vtop`: physical address and page size, or None, by virtual address."""
    text = kscope("dump", "vtop", dump, "-", *options, stdin="".join(f"{a:#x}\n" for a in addresses)).decode()
    lines = [line.split() for line in text.splitlines()]
    expect("vtop: addresses answered", [int(words[0], 16) for words in lines], list(addresses))
    return {int(w[0], 16): int(w[1], 16) if re.fullmatch(r"0x[0-9a-f]+|[0-9a-f]{4,}", w[1]) else None for w in lines}


def check_vtop(dump, addresses):
    """Each address, mapped or not, against libkdumpfile's walk of the same tables."""
    addresses = sorted(set(addresses))
    answers = kdpeer(dump, "vtop", "".join(f"{a:x}\n" for a in addresses))
    theirs = {}
    for line in answers.splitlines():
        virt, phys = line.split()[:2]
        theirs[int(virt, 16)] = None if phys == "-" else int(phys, 16)
    expect("vtop", vtop(dump, addresses), theirs)
    mapped = sum(phys is not None for phys in theirs.values())
    print(f"  vtop: {len(theirs)} addresses ({mapped} mapped) as libkdumpfile translates them")


def check_read(dump, areas):
    """crc32 of physical areas (address, length), against libkdumpfile."""
    answers = kdpeer(dump, "read", "".join(f"{a:x} {n:x}\n" for a, n in areas))
    theirs = {int(a, 16): crc for a, crc in (line.split()[:2] for line in answers.splitlines())}
    ours = {a: f"{zlib.crc32(read(dump, a, n)):08x}" for a, n in areas}
    expect("read", ours, theirs)
    print(f"  read: {len(areas)} areas, {sum(n for _, n in areas) >> 10} KiB, crc32 as libkdumpfile reads them")


def read(dump, address, length):
    return kscope("dump", "read", dump, "--phys", f"{address:#x}", f"{length:#x}", "--raw")
