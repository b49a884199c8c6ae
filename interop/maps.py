"""One guest's memory map in the forms it showed, compared: `kscope map` on its log and on its zero page, and sysfs."""

import json
from pathlib import Path

import peers


def check(facts):
    """`facts`: a folder with dmesg.txt, boot_params.bin and memmap/ of one boot."""
    log = entries(facts / "dmesg.txt", "dmesg")
    zero_page = entries(facts / "boot_params.bin", "boot-params")
    peers.expect("map: the zero page against the log", zero_page, log)
    firmware = sysfs(facts / "memmap")
    peers.expect("map: the log against /sys/firmware/memmap", log, firmware)
    usable = sum(last - start + 1 for start, last, kind in log if kind == "usable")
    print(f"  map: {len(log)} entries, {usable} usable bytes, the same in the log, the zero page and sysfs")


def entries(source, form):
    found = json.loads(peers.kscope("map", source, "--from", form, "--json"))["entries"]
    return [(int(e["start"], 16), int(e["last"], 16), e["kind"]) for e in found]


def sysfs(folder):
    """/sys/firmware/memmap names kinds in words of its own (e820_type_to_string in the kernel's e820.c)."""
    kinds = {
        "System RAM": "usable",
        "Reserved": "reserved",
        "ACPI Tables": "ACPI data",
        "ACPI Non-volatile Storage": "ACPI NVS",
        "Unusable memory": "unusable",
        "Persistent Memory": "persistent (type 7)",
        "Persistent Memory (legacy)": "persistent (type 12)",
        "Soft Reserved": "soft reserved",
    }
    out = []
    for entry in sorted(Path(folder).iterdir(), key=lambda path: int(path.name)):
        start, end, kind = ((entry / name).read_text().strip() for name in ("start", "end", "type"))
        out.append((int(start, 16), int(end, 16), kinds.get(kind, kind)))
    return out
