#!/usr/bin/env python3
"""kcore.py IMAGE: a guest in which our own command looks at the kernel that runs it, through /proc/kcore; compared with what that kernel
shows about itself, and with QEMU's dump of the same machine a moment later."""

import json
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import peers
from guest import Guest

# The file is as large as the addresses of the kernel reach.
LEAST = 1 << 46


def main(image):
    with tempfile.TemporaryDirectory(prefix="kscope-kcore.") as work:
        with Guest(Path(work) / "guest", image, "kcore", "256M") as guest:
            guest.wait_for("guest: ready", 180)
            guest.qmp("stop")
            facts = guest.unpack("facts.tar")
            check(guest.dump(), facts, facts / "kcore")


def check(dump, facts, kcore):
    size = int((kcore / "size").read_text())
    peers.expect("complaints", (kcore / "errors").read_text(), "")
    if size < LEAST:
        raise peers.Differs(f"/proc/kcore has {size} bytes only")
    info = json.loads((kcore / "info.json").read_text())
    peers.expect("ranges", ranges(info), ram(facts / "iomem.txt"))
    elsewhere = [s for s in info["segments"] if s["type"] == "LOAD" and int(s["paddr"], 16) == (1 << 64) - 1]
    print(f"/proc/kcore of {size} bytes: {len(info['segments'])} segments, {len(elsewhere)} of them not of RAM; RAM as /proc/iomem lists it")
    peers.expect("notes", [note["name"] for note in info["notes"]], ["CORE", "CORE", "CORE", "VMCOREINFO"])
    text = peers.kscope("dump", "vmcoreinfo", dump)
    peers.expect("vmcoreinfo", (kcore / "vmcoreinfo.txt").read_bytes(), text)
    symbols = [line for line in (facts / "kallsyms.txt").read_text().splitlines() if "[" not in line]
    peers.expect("symbols", (kcore / "symbols.txt").read_text().splitlines(), symbols)
    log = (kcore / "dmesg.txt").read_text()
    later = peers.kscope("dump", "dmesg", dump).decode(errors="replace")
    if not log or not later.startswith(log):
        raise peers.Differs("the log is not the beginning of the later one")
    addresses = (kcore / "addresses").read_text()
    peers.expect("vtop", (kcore / "vtop.txt").read_text(), peers.kscope("dump", "vtop", dump, "-", stdin=addresses).decode())
    virtual, physical = (kcore / "banner.virt").read_bytes(), (kcore / "banner.phys").read_bytes()
    phys = int((kcore / "banner.vtop").read_text().split()[1], 16)
    peers.expect("what is read", virtual[: 4096 - phys % 4096], peers.read(dump, phys, 4096 - phys % 4096))
    peers.expect("what is read by physical address", physical, peers.read(dump, phys, 4096))
    if not virtual.startswith(b"Linux version"):
        raise peers.Differs(f"the banner is {virtual[:32]!r}")
    print(
        f"  as QEMU's dump has them: VMCOREINFO of {len(text)} bytes, {len(log.splitlines())} lines of the log, "
        f"{len(addresses.split())} translations, 8 KiB read; {len(symbols)} symbols as /proc/kallsyms lists them"
    )


def ranges(info):
    return peers.merged((int(r["start"], 16), int(r["last"], 16) + 1) for r in info["ranges"])


def ram(iomem):
    """Whole pages of System RAM, as the kernel walks it."""
    row = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", re.M)
    found = [(int(start, 16), int(last, 16) + 1) for start, last in row.findall(iomem.read_text())]
    pages = ((-(-start // peers.PAGE) * peers.PAGE, end // peers.PAGE * peers.PAGE) for start, end in found)
    return peers.merged(pages)


if __name__ == "__main__":
    main(sys.argv[1])
