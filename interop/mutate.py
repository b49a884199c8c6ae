#!/usr/bin/env python3
"""mutate.py [CASES [SEED]] | mutate.py case SEED NUMBER OUT: real files with one to three bytes or fields changed, read by all.

A case is a dump of testdata/ or a boot image, changed where its format has numbers; a SEED makes the same cases everywhere. Each of our
subcommands must end as CLI.md promises, with 0, or with 1 and lines that say why; soon; and in little memory. How other tools fare on
the same files is shown beside ours and fails nothing. `case` writes one of the files.
"""

import collections
import os
import random
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = 300
# What any process may have: seconds of processor time, bytes of address space, bytes written. One that waits is ended after a minute.
SECONDS, SPACE, WRITTEN, WAIT = 10, 8 << 30, 1 << 28, 60
# What ours may take of both. The longest file has 370 KB.
OUR_SECONDS, OUR_MIB = 2, 32


# ---- where a format has its numbers: (weight, offsets) of each part


def parts(data):
    """Parts of a file; anywhere is one of them."""
    whole = [(1, range(len(data)))]
    if data.startswith(b"makedumpfile\0"):
        return [*whole, (1, range(32)), (6, records(data))]
    if data.startswith(b"KDUMP   "):
        return [*whole, *compressed(data)]
    if data.startswith(b"\x7fELF\2\1") and data[16] == 4:
        return [*whole, *core(data)]
    return [*whole, (4, range(min(len(data), 64))), (4, range(min(len(data), 1024)))]


def core(data):
    """ELF header, program headers and notes."""
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = range(table, table + size * count)
    yield 2, range(64)
    yield 4, headers
    for at in headers[::size]:
        kind, _, offset, _, _, filesz = struct.unpack_from("<IIQQQQ", data, at)
        if kind == 4 and filesz:
            yield 2, range(offset, offset + filesz)


def compressed(data):
    """Header, sub header, notes, bitmaps and descriptors, of either width and byte order."""
    order = "<" if data[8] else ">"
    # Behind utsname, which ends at 402, two words of time and `status`.
    places = (struct.unpack_from(f"{order}3I", data, at) for at in (428, 416))
    block, sub, bitmap = next(place for place in places if place[0] in (4096, 65536) and 0 < place[1] < 64)
    bitmaps = block * (1 + sub)
    descriptors = bitmaps + block * bitmap
    yield 2, range(468)
    yield 4, range(block, block + 104)
    yield 2, range(block + 80, bitmaps)
    yield 2, range(bitmaps, descriptors)
    yield 5, range(descriptors, min(descriptors + 24 * 64, len(data)))


def records(data):
    """The heads of a flattened file's records: two numbers each."""
    out, at, offset = [], 4096, 0
    while offset >= 0:
        offset, size = struct.unpack_from(">qq", data, at)
        out += range(at, at + 16)
        at += 16 + size
    return out


# ---- cases


def sources():
    """Dumps and boot images."""
    images = ROOT / "bootimg" / "testdata"
    dumps = [path for path in (ROOT / "testdata" / "forms").iterdir() if path.suffix != ".tsv"]
    dumps += [ROOT / "testdata" / "kdump-inside.elf"]
    no_images = {".md", ".tsv", ".txt", ".sh", ".notes"}
    found = [path for path in images.rglob("*") if path.is_file() and path.suffix not in no_images]
    return sorted(dumps), sorted(path for path in found if path.parent.name != "boot_params")


def case(seed, number):
    """The file, whether it is a dump, its changed bytes, and where they were changed."""
    rng = random.Random(f"{seed} {number}")
    dumps, images = sources()
    path = rng.choice(dumps if rng.random() < 0.8 else images)
    data = bytearray(path.read_bytes())
    weights, places = zip(*(part for part in parts(bytes(data)) if part[1]))
    changes = []
    for _ in range(rng.randint(1, 3)):
        at = min(rng.choice(rng.choices(places, weights)[0]), len(data) - 1)
        width = rng.choice((1, 1, 2, 4, 8))
        at -= at % width
        order = rng.choice(("little", "big"))
        limit = (1 << 8 * width) - 1
        now = int.from_bytes(data[at : at + width], order)
        edges = (0, 1, limit, limit >> 1, (limit >> 1) + 1, limit - 4095, 4096, len(data) - 1, len(data), now - 1, now + 1)
        value = rng.choice((*edges, now ^ 1 << rng.randrange(8 * width), *(rng.randrange(limit + 1) for _ in range(3))))
        data[at : at + width] = (value & limit).to_bytes(width, order)[: len(data) - at]
        changes.append(f"{at:#x}+{width}")
    return path.relative_to(ROOT), path in dumps, bytes(data), " ".join(changes)


# ---- tools: (name, command, standard input) of each question


def frames():
    """The pages of the dumps in forms/, as kdpeer takes them."""
    rows = (ROOT / "testdata" / "forms" / "pages.tsv").read_text().splitlines()
    return "".join(f"{int(row.split()[0]) * 4096:x} 1000\n" for row in rows).encode()


VIRTUAL = ["ffffffffa791ffe0", "ffff8dfc00001000", "7fff00000000"]


def ours(file, is_dump):
    kscope = os.environ["KSCOPE"]
    if not is_dump:
        yield "kscope image", [kscope, "image", file, "--json", "--verify"], b""
        yield "kscope image", [kscope, "image", "parts", file], b""
        return
    dump = [kscope, "dump"]
    for question in (["info", file, "--json"], ["notes", file], ["vmcoreinfo", file], ["verify", file], ["checksum", file],
                     ["dmesg", file], ["symbols", file], ["mappings", file], ["pages", file, "0", "1", "70000"],
                     ["read", file, "--phys", "0x1000", "0x4000", "--raw"],
                     ["vtop", file, *(f"0x{at}" for at in VIRTUAL)]):  # fmt: skip
        yield "kscope dump", [*dump, *question], b""


def peers(file, is_dump, work):
    if not is_dump:
        yield "file", ["file", file], b""
        yield "mkimage -l", ["mkimage", "-l", file], b""
        return
    kdpeer = os.environ["KDPEER"]
    for question, stdin in (("info", b""), ("vmcoreinfo", b""), ("read", frames()), ("vtop", "\n".join(VIRTUAL).encode())):
        yield "libkdumpfile", [kdpeer, file, question], stdin
    if file.read_bytes()[:12] == b"makedumpfile":
        yield "makedumpfile", ["makedumpfile", "-R", work / "whole"], file.read_bytes()
    else:
        yield "makedumpfile", ["makedumpfile", "-f", "--dump-dmesg", file, work / "log"], b""
        yield "makedumpfile", ["makedumpfile", "-f", "-c", "-d", "0", file, work / "copy"], b""
    yield "crash", ["crash", "--osrelease", file], b""
    if file.read_bytes()[:4] == b"\x7fELF":
        yield "readelf", ["readelf", "-hlnW", file], b""
        yield "eu-readelf", ["eu-readelf", "-hln", file], b""


Run = collections.namedtuple("Run", "status signal seconds mib wrote said")


def run(command, stdin, work):
    """Runs under the limits. GNU time measures: a child of Python's begins with Python's memory as its largest."""
    limits = [f"--cpu={SECONDS}", f"--as={SPACE}", f"--fsize={WRITTEN}", "--core=0"]
    measured = ["time", "-q", "-o", work / "time", "-f", "%e %M", "prlimit", *limits, *command]
    with open(work / "wrote", "w+b") as wrote, open(work / "said", "w+b") as said:
        process = subprocess.Popen(
            [str(word) for word in measured], stdin=subprocess.PIPE, stdout=wrote, stderr=said, cwd=work,
            env={**os.environ, "TMPDIR": str(work)}, start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(stdin, timeout=WAIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
            return Run(None, min(TOO_LONG), WAIT, 0, 0, "")
        said.seek(0)
        text = said.read(1 << 16).decode(errors="replace")
        length = wrote.seek(0, os.SEEK_END)
    seconds, kib = (work / "time").read_text().split()[-2:]
    # As a shell has it; 255 is a status of its own.
    status = process.returncode
    return Run(status, status - 128 if 128 < status <= 128 + 64 else 0, float(seconds), int(kib) / 1024, length, text)


# SIGXCPU and SIGXFSZ: the limits.
TOO_LONG = {24, 25}


def complaint(run):
    """What is wrong with a run of ours."""
    if run.signal or run.status not in (0, 1):
        return f"exit status {run.status}"
    if run.seconds > OUR_SECONDS or run.mib > OUR_MIB:
        return f"{run.seconds} seconds, {run.mib:.0f} MiB"
    lines = run.said.splitlines()
    # `verify` writes what is damaged to standard output.
    if run.status == 1 and not lines and not run.wrote or not all(line.startswith("kscope: ") for line in lines):
        return f"exit status {run.status}, and said {run.said!r}"
    return None


def answer(seed, number, rows):
    """Every tool on one case; the complaints about ours."""
    source, is_dump, data, changes = case(seed, number)
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        file = work / "file"
        file.write_bytes(data)
        wrong = []
        for tool, command, stdin in ours(file, is_dump):
            done = run(command, stdin, work)
            rows.append((tool, number, done))
            if why := complaint(done):
                wrong.append(f"case {number}, {source} at {changes}: {' '.join(map(str, command[1:]))}: {why}")
        for tool, command, stdin in peers(file, is_dump, work):
            rows.append((tool, number, run(command, stdin, work)))
    return wrong


def table(rows):
    print(f"{'':14} {'files':>6} {'runs':>6} {'read':>6} {'refused':>7} {'died':>5} {'endless':>7} {'slowest s':>9} {'most MiB':>8}")
    for tool in dict.fromkeys(tool for tool, *_ in rows):
        runs = [run for name, _, run in rows if name == tool]
        files = {number for name, number, _ in rows if name == tool}
        died = [run.signal for run in runs if run.signal and run.signal not in TOO_LONG]
        endless = sum(run.signal in TOO_LONG for run in runs)
        read = sum(run.status == 0 for run in runs)
        print(
            f"{tool:14} {len(files):6} {len(runs):6} {read:6} {len(runs) - read - len(died) - endless:7} {len(died):5}"
            f" {endless:7} {max(run.seconds for run in runs):9.2f} {max(run.mib for run in runs):8.0f}"
            f"  {' '.join(f'signal {signal}: {count}' for signal, count in sorted(collections.Counter(died).items()))}"
        )


def main(cases=CASES, seed=1):
    rows, wrong = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for complaints in pool.map(lambda number: answer(seed, number, rows), range(cases)):
            wrong += complaints
    table(sorted(rows, key=lambda row: row[:2]))
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{cases} files, seed {seed}: {len(wrong)} answers of ours are not as promised")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["case"]:
        Path(sys.argv[4]).write_bytes(case(int(sys.argv[2]), int(sys.argv[3]))[2])
        sys.exit(0)
    sys.exit(main(*map(int, sys.argv[1:])))
