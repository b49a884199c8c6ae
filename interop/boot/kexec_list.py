#!/usr/bin/env python3
"""kexec_list.py IMAGE: a guest with a kernel loaded by `kexec -l`, dumped by QEMU.

The list of pages in the dump is carried out by `kscope kexec list --run`, and the memory that comes out is compared with
the files that were loaded.
"""

import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import loaded
import peers
from guest import Guest


def main(image):
    with tempfile.TemporaryDirectory(prefix="kscope-kexec.") as work:
        with Guest(Path(work) / "guest", image, "load", "384M") as guest:
            guest.wait_for("guest: ready", 180)
            guest.qmp("stop")
            dump = guest.dump()
        print("a guest after kexec -l")
        check(dump, guest.unpack("facts.tar"), image, guest.work / "moved.elf")


def check(dump, facts, image, moved):
    found = loaded.check(dump, facts, "--run", moved)
    _, segments = loaded.logged(facts)
    destinations = [(run["destination"], run["pages"]) for run in found["runs"]]
    destinations = peers.merged((peers.number(at), peers.number(at) + pages * peers.PAGE) for at, pages in destinations)
    wanted = peers.merged((segment["mem"], segment["mem"] + segment["memsz"]) for segment in segments)
    peers.expect("kexec list: where pages go", destinations, wanted)
    peers.expect("the core of --run, by readelf", peers.stored(moved), wanted)
    runs, pages = len(found["runs"]), found["pages"]
    print(f"  kexec list: {runs} runs of {pages} pages go to the segments' memory, no page missing and none too many")

    with tarfile.open(Path(image) / "boot.tar") as archive:
        kernel, initrd = (archive.extractfile(name).read() for name in ("vmlinuz", "initrd"))
    # A bzImage's first sectors are the 16-bit code, which kexec-tools does not load with the kernel.
    kernel = kernel[512 * ((kernel[0x1F1] or 4) + 1) :]
    for what, content in (("64bit kernel", kernel), ("initrd", initrd)):
        segment = next(s for s in segments if s["mem"] == loaded.place(facts, what))
        peers.expect(f"{what}: bytes that were loaded", segment["bufsz"], len(content))
        memory = bytes_of(moved, segment["mem"], segment["memsz"])
        if memory != content + bytes(segment["memsz"] - len(content)):
            raise peers.Differs(f"{what}: not what was loaded at {segment['mem']:#x}")
        print(f"  --run: the {len(content)} bytes of the {what} are in place, zeros up to {segment['memsz']}")


def bytes_of(core, address, length):
    """Memory of a core by readelf's list of its segments."""
    for segment in peers.loads(core):
        skipped = address - segment["paddr"]
        if 0 <= skipped and skipped + length <= segment["filesz"]:
            with open(core, "rb") as file:
                file.seek(segment["offset"] + skipped)
                return file.read(length)
    raise peers.Differs(f"{core} has no {length} bytes at {address:#x}")


if __name__ == "__main__":
    main(sys.argv[1])
