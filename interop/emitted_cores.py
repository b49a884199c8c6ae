#!/usr/bin/env python3
"""emitted_cores.py: cores written by elf-format's example `emit_core`, read back by readelf, eu-readelf and `kscope`.

They have a handful of program headers, the most and one more than the 16-bit count of the ELF header can say (PN_XNUM), and many more.
"""

import os
import re
import tempfile
from pathlib import Path

import peers

PN_XNUM = 0xFFFF
COUNTS = (5, PN_XNUM - 1, PN_XNUM, 70_000)


def main():
    emit = os.environ["EMIT_CORE"]
    processors = None
    with tempfile.TemporaryDirectory(prefix="kscope-emitted.") as work:
        for count in COUNTS:
            core = Path(work) / f"{count}.elf"
            peers.run(emit, core, count - 1)  # it adds the one of the notes
            print(f"emitted with {count} program headers")
            check_header(core, count)
            # eu-readelf shows no notes of a core with a section header: those of the smallest are in all.
            processors = processors or peers.processors(core)
            peers.check_info(core, processors)
            check_complaints(core)


def check_header(core, count):
    """`readelf -h`: a core with that many program headers; `readelf -l` finds each of them."""
    header = peers.run("readelf", "-hW", core).decode()
    written = re.search(r"Number of program headers: +(\d+)(?: \((\d+)\))?", header)
    peers.expect("program headers", int(written[2] or written[1]), count)
    peers.expect("type", re.search(r"Type: +(\w+)", header)[1], "CORE")
    notes, *ranges = peers.segments(core)
    peers.expect("the first program header", notes["type"], "NOTE")
    # What the example says it writes: every other page, the first bytes of each in the file.
    found = [(s["type"], s["paddr"], s["filesz"], s["memsz"]) for s in ranges]
    peers.expect("ranges", found, [("LOAD", 2 * i * peers.PAGE, 16, peers.PAGE) for i in range(count - 1)])
    print(f"  readelf: {written[0]}, the last at {ranges[-1]['paddr']:#x}")


def check_complaints(core):
    """Neither reader has anything to warn of."""
    for command in (("readelf", "-hlnW"), ("eu-readelf", "-hln")):
        said = peers.complaints(*command, core)
        peers.expect(f"{command[0]}'s warnings", said, "")


if __name__ == "__main__":
    main()
