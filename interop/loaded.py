"""What kexec-tools loaded in a guest, by the log of `kexec -d`, compared with `kscope kexec list` on the guest's dump."""

import json
import re

import peers


def check(dump, facts, *options):
    """`facts`: a folder with kexec.log and kallsyms.txt of the guest. Returns what `list` says."""
    symbol = "kexec_crash_image" if "--crash" in options else "kexec_image"
    found = json.loads(peers.kscope("kexec", "list", dump, "--json", *options))
    at = address(facts, symbol)
    told = json.loads(peers.kscope("kexec", "list", dump, "--json", "--symbol-at", f"{at:x}", *options))
    peers.expect(f"kexec list: {symbol} by the dump's symbols and by /proc/kallsyms", found, told)
    entry, expected = logged(facts)
    fields = ("buf", "bufsz", "mem", "memsz")
    numbers = [tuple(peers.number(segment[field]) for field in fields) for segment in found["segments"]]
    peers.expect("kexec list: segments", numbers, [tuple(segment[field] for field in fields) for segment in expected])
    peers.expect("kexec list: entry", peers.number(found["entry"]), entry)
    peers.expect("kexec list: crash", found["crash"], "--crash" in options)
    peers.expect("kexec list: broken rules", [c for c in found["checks"] if c["ok"] is False], [])
    print(f"  kexec list: {symbol} has the entry point and the {len(numbers)} segments that kexec -d listed, no check broken")
    return found


def address(facts, symbol):
    for line in (facts / "kallsyms.txt").read_text().splitlines():
        if line.split()[2] == symbol:
            return int(line.split()[0], 16)
    raise peers.Differs(f"/proc/kallsyms has no {symbol}")


def log(facts):
    return (facts / "kexec.log").read_text(errors="replace")


def logged(facts):
    """The entry point, and the fields of each segment."""
    segments = {}
    for index, field, value in re.findall(r"^segment\[(\d+)\]\.(\w+) *= (\S+)$", log(facts), re.M):
        segments.setdefault(int(index), {})[field] = 0 if value == "(nil)" else int(value, 16)
    entry = re.search(r"^kexec_load: entry = (\S+)", log(facts), re.M)
    return int(entry[1], 16), [segments[index] for index in sorted(segments)]


def place(facts, what):
    """Where kexec-tools said that it put the kernel or the initrd."""
    return int(re.search(rf"^Loaded {what} at (\S+)", log(facts), re.M)[1], 16)
